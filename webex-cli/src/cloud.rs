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
    auth::DirectoryStore,
    core::{Credentials, DeviceConfig, Endpoints, Transport, Webex, WebexBuilder},
};

use crate::{
    exit::Failure,
    profile::{Profile, StoreArguments},
};

/// Where the token is when it is not in a file.
pub(crate) const TOKEN_VARIABLE: &str = "WEBEX_ACCESS_TOKEN";

/// What the names of kept values begin with.
const STATE: &str = "webex";

/// Cloud and token, as given on the command line.
#[derive(Debug, Args)]
pub(crate) struct CloudArguments {
    /// File with the access token [default: the environment's `WEBEX_ACCESS_TOKEN`, or that of
    /// `webex login`]
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Origin of the cloud, such as `https://127.0.0.1:8443` [default: the Webex cloud]
    #[arg(long, value_name = "URL")]
    cloud: Option<String>,
    /// PEM file with a root certificate to trust beside the system's
    #[arg(long, value_name = "FILE", conflicts_with = "insecure")]
    ca: Option<PathBuf>,
    /// Accept any certificate: anyone on the way can read the token
    #[arg(long)]
    insecure: bool,
    #[command(flatten)]
    store: StoreArguments,
}

/// A client, and the sandbox it uses when that runs in this process.
pub(crate) struct Cloud {
    pub(crate) webex: Webex,
    pub(crate) sandbox: Option<Sandbox>,
}

/// A token and where to go with it.
pub(crate) struct Access {
    token: SecretString,
    endpoints: Endpoints,
    transport: Transport,
}

impl CloudArguments {
    /// Which cloud is meant, for people.
    pub(crate) fn describe(&self) -> String {
        self.cloud.clone().unwrap_or_else(|| "the Webex cloud".to_owned())
    }

    /// Reads what the arguments name. `None` when neither cloud nor token is given.
    pub(crate) fn access(&self) -> Result<Option<Access>, Failure> {
        let token = token(self.token_file.as_deref())?;
        let (token, cloud) = match (token, &self.cloud) {
            (None, None) => return Ok(None),
            (None, Some(_)) => {
                return Err(Failure::usage(format!(
                    "--cloud needs an access token: --token-file FILE, or {TOKEN_VARIABLE} in the environment"
                )));
            }
            (Some(token), cloud) => (token, cloud),
        };
        let endpoints = match cloud {
            Some(origin) => Endpoints::at(origin)
                .map_err(|error| Failure::usage(format!("--cloud: {error}")))?,
            None => Endpoints::production(),
        };
        let mut transport = Transport::builder().danger_accept_invalid_certs(self.insecure);
        if let Some(path) = &self.ca {
            let failed = |error: &dyn std::fmt::Display| {
                Failure::usage(format!("--ca {}: {error}", path.display()))
            };
            let pem = fs::read(path).map_err(|error| failed(&error))?;
            transport = transport.extra_roots_pem(&pem).map_err(|error| failed(&error))?;
        }
        let transport = transport.build().map_err(|error| Failure::other(error.to_string()))?;
        Ok(Some(Access { token: token.into(), endpoints, transport }))
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
            .build()
            .map_err(|error| Failure::sdk(error.kind(), &error))
    }

    /// Shows the token to whoever has to keep it secret.
    pub(crate) fn with_token<T>(&self, look: impl FnOnce(&str) -> T) -> T {
        look(self.token.expose_secret().trim())
    }
}

impl Cloud {
    /// Makes the client: by the token given, or as who is signed in; starts the sandbox when there is
    /// neither token, cloud nor sign-in. `state` is where the user's state is kept, if it is.
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
            None => match Self::signed_in(arguments.store, builder.clone()).await? {
                Some(cloud) => Ok(cloud),
                None => Self::sandbox(builder).await,
            },
        }
    }

    /// As `webex login` left it: its tokens renew themselves.
    async fn signed_in(
        store: StoreArguments,
        builder: WebexBuilder,
    ) -> Result<Option<Self>, Failure> {
        let Some(store) = store.open_if_any() else { return Ok(None) };
        let Some(profile) = Profile::find(&store).await? else { return Ok(None) };
        let transport = profile.cloud.transport()?;
        let tokens = profile.tokens(&store, &transport)?;
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
        let token = sandbox.token().to_owned().into();
        let webex = Access { token, endpoints, transport }.build(builder)?;
        Ok(Self { webex, sandbox: Some(sandbox) })
    }
}

fn token(file: Option<&Path>) -> Result<Option<String>, Failure> {
    if let Some(path) = file {
        return fs::read_to_string(path)
            .map(Some)
            .map_err(|error| Failure::usage(format!("--token-file {}: {error}", path.display())));
    }
    Ok(std::env::var(TOKEN_VARIABLE).ok().filter(|token| !token.trim().is_empty()))
}
