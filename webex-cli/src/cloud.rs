//! Which cloud to use, with which token.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::Args;
use secrecy::{ExposeSecret, SecretString};
use webex_sandbox::Sandbox;
use webex_sdk::{
    auth::{DirectoryStore, TokenSet, pasted},
    core::{Credentials, DeviceConfig, Endpoints, Transport, Webex, WebexBuilder},
};

use crate::{
    exit::Failure,
    profile::{self, CloudChoice, Profile, StoreArguments},
};

/// The environment variable with the token, unless it is in a file.
pub(crate) const TOKEN_VARIABLE: &str = "WEBEX_ACCESS_TOKEN";

/// Prefix of the names of saved values.
const STATE: &str = "webex";

/// Cloud and token, as given on the command line.
#[derive(Debug, Args)]
pub(crate) struct CloudArguments {
    /// File with the access token [default: the environment's `WEBEX_ACCESS_TOKEN`, or that of
    /// `webex login`]
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    #[command(flatten)]
    choice: CloudChoice,
    #[command(flatten)]
    store: StoreArguments,
}

/// A client, and its sandbox when that runs in this process.
pub(crate) struct Cloud {
    pub(crate) webex: Webex,
    pub(crate) sandbox: Option<Sandbox>,
}

/// A cloud, and who may be its user: for whoever has something to say also when nobody is.
pub(crate) struct Place {
    /// A client of the user; of nobody when there is none.
    pub(crate) webex: Webex,
    pub(crate) transport: Transport,
    /// Why there is no user, or what is known of the sign-in.
    pub(crate) user: Result<Option<TokenSet>, Failure>,
}

/// A token and its cloud.
pub(crate) struct Access {
    token: SecretString,
    choice: CloudChoice,
    endpoints: Endpoints,
    transport: Transport,
}

impl CloudArguments {
    /// The cloud in words.
    pub(crate) fn describe(&self) -> String {
        self.choice.cloud.clone().unwrap_or_else(|| "the Webex cloud".to_owned())
    }

    /// The cloud that is meant, by the token given or as who is signed in. There is always one: with
    /// nobody's token, if need be. `device` is what would be registered.
    pub(crate) async fn place(self, device: DeviceConfig) -> Result<Place, Failure> {
        let builder = Webex::builder().device(device);
        if let Some(token) = token(self.token_file.as_deref())? {
            let access = self.choice.access(token)?;
            let webex = access.build(builder)?;
            return Ok(Place { webex, transport: access.transport, user: Ok(None) });
        }
        let mut nobody = Failure::unauthorized("no token was given, and nobody is signed in");
        if let (None, Some(store)) = (&self.choice.cloud, self.store.open_if_any()) {
            match Profile::find(&store, self.choice.insecure()).await {
                Ok(Some(profile)) => {
                    let transport = profile.cloud.transport()?;
                    let tokens = profile.tokens(&store, &transport).await?;
                    let webex = profile.build(builder, tokens, transport.clone())?;
                    let known = profile::stored(&store).await;
                    return Ok(Place { webex, transport, user: known.map(Some) });
                }
                Ok(None) => {}
                Err(failure) => nobody = failure,
            }
        }
        let access = self.choice.access(SecretString::from("nobody"))?;
        let webex = access.build(builder)?;
        Ok(Place { webex, transport: access.transport, user: Err(nobody) })
    }

    /// Reads the token that the arguments name. `None` when neither cloud nor token is given.
    pub(crate) fn access(&self) -> Result<Option<Access>, Failure> {
        let Some(token) = token(self.token_file.as_deref())? else {
            if self.choice.cloud.is_none() {
                return Ok(None);
            }
            return Err(Failure::usage(format!(
                "--cloud needs an access token: --token-file FILE, or {TOKEN_VARIABLE} in the environment"
            )));
        };
        self.choice.access(token).map(Some)
    }
}

impl CloudChoice {
    /// This cloud, with a token.
    fn access(&self, token: SecretString) -> Result<Access, Failure> {
        let (endpoints, transport) = (self.endpoints()?, self.transport()?);
        Ok(Access { token, choice: self.clone(), endpoints, transport })
    }
}

impl Access {
    /// A client of the user. Clients share their connections.
    pub(crate) fn webex(&self, device: DeviceConfig) -> Result<Webex, Failure> {
        self.build(Webex::builder().device(device))
    }

    fn build(&self, builder: WebexBuilder) -> Result<Webex, Failure> {
        builder
            .credentials(Credentials::access_token(self.token.expose_secret()))
            .endpoints(self.endpoints.clone())
            .transport(self.transport.clone())
            .danger_insecure_anywhere(self.choice.insecure_anywhere())
            .build()
            .map_err(|error| Failure::sdk(error.kind(), &error))
    }

    /// Passes the token to code that has to keep it secret.
    pub(crate) fn with_token<T>(&self, look: impl FnOnce(&str) -> T) -> T {
        look(self.token.expose_secret())
    }
}

impl Cloud {
    /// Makes the client: with the given token, or as the signed-in user; starts a sandbox when
    /// there is neither token, cloud nor sign-in. `state` is where the user's state is saved, if at
    /// all.
    pub(crate) async fn open(
        arguments: CloudArguments,
        state: Option<PathBuf>,
    ) -> Result<Self, Failure> {
        let builder = match state {
            Some(directory) => {
                Webex::builder().state_store(Arc::new(DirectoryStore::new(directory)), STATE)
            }
            None => Webex::builder(),
        };
        match arguments.access()? {
            Some(access) => Ok(Self { webex: access.build(builder)?, sandbox: None }),
            None => match Self::signed_in(arguments, builder.clone()).await? {
                Some(cloud) => Ok(cloud),
                None => Self::sandbox(builder).await,
            },
        }
    }

    /// The client of `webex login`, whose tokens renew themselves.
    async fn signed_in(
        arguments: CloudArguments,
        builder: WebexBuilder,
    ) -> Result<Option<Self>, Failure> {
        let Some(store) = arguments.store.open_if_any() else { return Ok(None) };
        let insecure = arguments.choice.insecure();
        let Some(profile) = Profile::find(&store, insecure).await? else { return Ok(None) };
        let transport = profile.cloud.transport()?;
        let tokens = profile.tokens(&store, &transport).await?;
        Ok(Some(Self { webex: profile.build(builder, tokens, transport)?, sandbox: None }))
    }

    async fn sandbox(builder: WebexBuilder) -> Result<Self, Failure> {
        let failed = |error: &dyn std::fmt::Display| Failure::other(format!("sandbox: {error}"));
        let sandbox = Sandbox::start().await.map_err(|error| failed(&error))?;
        let endpoints = Endpoints::at(sandbox.origin().as_str()).map_err(|error| failed(&error))?;
        let ca = sandbox.ca_pem().unwrap_or_default();
        let transport = Transport::builder()
            .extra_roots_pem(ca.as_bytes())
            .and_then(webex_sdk::core::TransportBuilder::build)
            .map_err(|error| failed(&error))?;
        let (token, choice) = (sandbox.token().to_owned().into(), CloudChoice::default());
        let webex = Access { token, choice, endpoints, transport }.build(builder)?;
        Ok(Self { webex, sandbox: Some(sandbox) })
    }
}

fn token(file: Option<&Path>) -> Result<Option<SecretString>, Failure> {
    if let Some(path) = file {
        return read_secret("--token-file", path).map(Some);
    }
    let Some(text) = std::env::var_os(TOKEN_VARIABLE) else { return Ok(None) };
    let text = text.to_string_lossy();
    if text.trim().is_empty() {
        return Ok(None);
    }
    let token = pasted::secret(&text)
        .map_err(|error| Failure::usage(format!("the token in {TOKEN_VARIABLE}: {error}")))?;
    Ok(Some(token.into()))
}

/// Reads a secret from a file, without characters that are often pasted around one.
pub(crate) fn read_secret(option: &str, path: &Path) -> Result<SecretString, Failure> {
    let bad = |error: &dyn std::fmt::Display| {
        Failure::usage(format!("{option} {}: {error}", path.display()))
    };
    let bytes = fs::read(path).map_err(|error| bad(&error))?;
    let text = pasted::text(&bytes).map_err(|error| bad(&error))?;
    let secret = pasted::secret(text.expose_secret()).map_err(|error| bad(&error))?;
    Ok(secret.into())
}
