//! Which cloud to use, with which token.

use std::{fs, path::PathBuf};

use clap::Args;
use webex_core::{Credentials, Endpoints, Transport, Webex};
use webex_sandbox::Sandbox;

use crate::{
    exit::Failure,
    profile::{Profile, StoreArguments},
};

/// Where the token is when it is not in a file.
const TOKEN_VARIABLE: &str = "WEBEX_ACCESS_TOKEN";

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

impl Cloud {
    /// Makes the client: by the token given, or as who is signed in; starts the sandbox when there is
    /// neither token, cloud nor sign-in.
    pub(crate) async fn open(arguments: CloudArguments) -> Result<Self, Failure> {
        let token = token(arguments.token_file)?;
        match (token, arguments.cloud) {
            (None, None) => match Self::signed_in(arguments.store).await? {
                Some(cloud) => Ok(cloud),
                None => Self::sandbox().await,
            },
            (None, Some(_)) => Err(Failure::usage(format!(
                "--cloud needs an access token: --token-file FILE, or {TOKEN_VARIABLE} in the environment"
            ))),
            (Some(token), cloud) => {
                let endpoints = match cloud {
                    Some(origin) => Endpoints::at(&origin)
                        .map_err(|error| Failure::usage(format!("--cloud: {error}")))?,
                    None => Endpoints::production(),
                };
                let mut transport =
                    Transport::builder().danger_accept_invalid_certs(arguments.insecure);
                if let Some(path) = arguments.ca {
                    let pem = fs::read(&path).map_err(|error| {
                        Failure::usage(format!("--ca {}: {error}", path.display()))
                    })?;
                    transport = transport.extra_roots_pem(&pem).map_err(|error| {
                        Failure::usage(format!("--ca {}: {error}", path.display()))
                    })?;
                }
                let transport =
                    transport.build().map_err(|error| Failure::other(error.to_string()))?;
                let webex = client(token, endpoints, transport)?;
                Ok(Self { webex, sandbox: None })
            }
        }
    }

    /// As `webex login` left it: its tokens renew themselves.
    async fn signed_in(store: StoreArguments) -> Result<Option<Self>, Failure> {
        let Some(store) = store.open_if_any() else { return Ok(None) };
        let Some(profile) = Profile::find(&store).await? else { return Ok(None) };
        let transport = profile.cloud.transport()?;
        let tokens = profile.tokens(&store, &transport)?;
        Ok(Some(Self { webex: profile.client(tokens, transport)?, sandbox: None }))
    }

    async fn sandbox() -> Result<Self, Failure> {
        let failed = |error: &dyn std::fmt::Display| Failure::other(format!("sandbox: {error}"));
        let sandbox = Sandbox::start().await.map_err(|error| failed(&error))?;
        let endpoints = Endpoints::at(sandbox.origin().as_str()).map_err(|error| failed(&error))?;
        let ca = sandbox.ca_pem().unwrap_or_default();
        let transport = Transport::builder()
            .extra_roots_pem(ca.as_bytes())
            .and_then(webex_core::TransportBuilder::build)
            .map_err(|error| failed(&error))?;
        let webex = client(sandbox.token().to_owned(), endpoints, transport)?;
        Ok(Self { webex, sandbox: Some(sandbox) })
    }
}

fn client(token: String, endpoints: Endpoints, transport: Transport) -> Result<Webex, Failure> {
    Webex::builder()
        .credentials(Credentials::access_token(token))
        .endpoints(endpoints)
        .transport(transport)
        .build()
        .map_err(|error| Failure::sdk(error.kind(), &error))
}

fn token(file: Option<PathBuf>) -> Result<Option<String>, Failure> {
    if let Some(path) = file {
        return fs::read_to_string(&path)
            .map(Some)
            .map_err(|error| Failure::usage(format!("--token-file {}: {error}", path.display())));
    }
    Ok(std::env::var(TOKEN_VARIABLE).ok().filter(|token| !token.trim().is_empty()))
}
