//! A stored sign-in: tokens, and what is needed to renew them.
//!
//! Both are files in a directory that only the user can read, because they hold the client secret
//! and the tokens. Several commands may use them at the same time; one of them renews.

use std::{env, fs, path::PathBuf, sync::Arc};

use clap::Args;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use url::Url;
use webex_sdk::{
    auth::{
        Credentials, DirectoryStore, Integration, OAuthEndpoints, Scopes, Store, StoreError,
        TokenError, TokenSet, Tokens,
        meetings_xml::{MeetingsIntegration, MeetingsScope, SiteName},
        pasted,
    },
    core::{Endpoints, ErrorKind, Insecurity, Transport, Webex, WebexBuilder, join},
};

use crate::exit::Failure;

/// Names of the two values in the store.
const PROFILE: &str = "profile";
const TOKENS: &str = "tokens";

/// Where sign-ins are stored.
#[derive(Debug, Clone, Args)]
pub(crate) struct StoreArguments {
    /// Directory of the sign-in [default: `webex` in the user's directory for configuration]
    #[arg(long, env = "WEBEX_STORE", value_name = "DIRECTORY")]
    store: Option<PathBuf>,
}

impl StoreArguments {
    /// The store.
    pub(crate) fn open(self) -> Result<Arc<DirectoryStore>, Failure> {
        self.open_if_any().ok_or_else(|| {
            Failure::usage("there is no directory for configuration: name one with --store")
        })
    }

    /// The store, unless this user has no directory for one.
    pub(crate) fn open_if_any(self) -> Option<Arc<DirectoryStore>> {
        let directory = self.store.or_else(default_directory)?;
        Some(Arc::new(DirectoryStore::new(directory)))
    }
}

/// The cloud, and how to reach it.
#[derive(Debug, Clone, Default, Args, Serialize, Deserialize)]
pub(crate) struct CloudChoice {
    /// Cloud: `webex`, `fedramp`, or an origin such as `https://127.0.0.1:8443` [default: webex]
    #[arg(long, value_name = "CLOUD", value_parser = pasted_text)]
    pub(crate) cloud: Option<String>,
    /// PEM file with a root certificate to trust beside the system's
    #[arg(long, value_name = "FILE", conflicts_with = "insecure")]
    ca: Option<PathBuf>,
    /// Given again for each command: never stored.
    #[command(flatten)]
    #[serde(skip)]
    insecure: Insecure,
}

/// Options that let others read the token in transit.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(crate) struct Insecure {
    /// Accept any certificate of a cloud on this machine
    #[arg(long)]
    insecure: bool,
    /// Allow --insecure, and plain http, for a cloud that is not on this machine: anyone on the
    /// network path can read the token
    #[arg(long)]
    insecure_anywhere: bool,
}

/// Reads a text of visible characters, without what is often pasted around one.
pub(crate) fn pasted_text(text: &str) -> Result<String, String> {
    pasted::secret(text).map(str::to_owned).map_err(|error| error.to_string())
}

impl CloudChoice {
    /// A cloud by its origin.
    pub(crate) fn at(origin: String) -> Self {
        Self { cloud: Some(origin), ..Self::default() }
    }

    /// The insecure options of this command.
    pub(crate) fn insecure(&self) -> Insecure {
        self.insecure
    }

    /// Whether clients may work without TLS beyond this machine.
    pub(crate) fn insecure_anywhere(&self) -> bool {
        self.insecure.insecure_anywhere
    }

    /// Base addresses of the SDK.
    pub(crate) fn endpoints(&self) -> Result<Endpoints, Failure> {
        match self.cloud.as_deref() {
            None | Some("webex") => Ok(Endpoints::production()),
            Some("fedramp") => Ok(Endpoints::fedramp()),
            Some(origin) => {
                Endpoints::at(origin).map_err(|error| Failure::usage(format!("--cloud: {error}")))
            }
        }
    }

    /// The authorization server.
    pub(crate) fn oauth(&self) -> Result<OAuthEndpoints, Failure> {
        Ok(match self.cloud.as_deref() {
            None | Some("webex") => OAuthEndpoints::webex(),
            Some("fedramp") => OAuthEndpoints::fedramp(),
            Some(_) => {
                let endpoints = self.endpoints()?;
                let revoke = endpoints.idbroker.join("/idb/oauth2/v1/revoke");
                let revoke = revoke.map_err(|error| Failure::usage(format!("--cloud: {error}")))?;
                OAuthEndpoints::api(&endpoints.webexapis).revoke(revoke)
            }
        })
    }

    /// Where Meetings integrations sign in; `None` means their default.
    fn meetings(&self) -> Result<Option<(Url, Url)>, Failure> {
        match self.cloud.as_deref() {
            None | Some("webex") => Ok(None),
            Some("fedramp") => Err(Failure::usage(
                "--meetings-xml: its address in Webex for Government is not known",
            )),
            Some(_) => {
                let base = self.endpoints()?.webexapis;
                Ok(Some((join(&base, "oauth2/authorize"), join(&base, "oauth2/token"))))
            }
        }
    }

    /// Connections with the configured trust. Prints a warning when others can read them.
    pub(crate) fn transport(&self) -> Result<Transport, Failure> {
        let mut builder = Transport::builder().danger_accept_invalid_certs(self.insecure.insecure);
        if let Some(path) = &self.ca {
            let bad = |error: &dyn std::fmt::Display| {
                Failure::usage(format!("--ca {}: {error}", path.display()))
            };
            let pem = fs::read(path).map_err(|error| bad(&error))?;
            let pem = pasted::certificates(&pem).map_err(|error| bad(&error))?;
            builder = builder.extra_roots_pem(pem.as_bytes()).map_err(|error| bad(&error))?;
        }
        let transport = builder.build().map_err(|error| Failure::other(error.to_string()))?;
        match Insecurity::of(&transport, &self.endpoints()?) {
            Some(insecurity) if !self.insecure.insecure_anywhere => Err(Failure::usage(format!(
                "{insecurity}; to allow it all the same, add --insecure-anywhere"
            ))),
            Some(insecurity) => {
                eprintln!("webex: warning: {insecurity}");
                Ok(transport)
            }
            None => {
                if transport.accepts_invalid_certs() {
                    eprintln!("webex: warning: --insecure: certificates are not checked");
                }
                Ok(transport)
            }
        }
    }
}

/// A sign-in: its application, cloud and tokens.
pub(crate) struct Profile {
    pub(crate) cloud: CloudChoice,
    client_id: String,
    secret: Option<SecretString>,
    redirect_uri: Option<String>,
    meetings: Option<MeetingsSite>,
}

/// Marks a sign-in to a Webex Meetings site, for its XML API.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct MeetingsSite {
    /// The site's name; `None` means the one that the service names.
    pub(crate) site: Option<String>,
}

/// The form in the store.
#[derive(Serialize, Deserialize)]
struct StoredProfile {
    client_id: String,
    client_secret: Option<String>,
    redirect_uri: Option<String>,
    cloud: CloudChoice,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    meetings: Option<MeetingsSite>,
}

impl Profile {
    /// A profile for an application with this client id and secret.
    pub(crate) fn new(
        client_id: &str,
        secret: Option<SecretString>,
        redirect_uri: Option<&str>,
        cloud: CloudChoice,
    ) -> Self {
        // A later command may run in another directory.
        let absolute = |path: PathBuf| fs::canonicalize(&path).unwrap_or(path);
        let cloud = CloudChoice { ca: cloud.ca.map(absolute), ..cloud };
        let redirect_uri = redirect_uri.map(str::to_owned);
        Self { cloud, client_id: client_id.to_owned(), secret, redirect_uri, meetings: None }
    }

    /// The same, of a Meetings integration.
    pub(crate) fn meetings(self, site: MeetingsSite) -> Self {
        Self { meetings: Some(site), ..self }
    }

    /// The integration.
    pub(crate) fn integration(&self, scopes: Scopes) -> Result<Integration, Failure> {
        let endpoints = self.cloud.oauth()?;
        let mut builder = Integration::builder(&self.client_id).scopes(scopes).endpoints(endpoints);
        if let Some(secret) = &self.secret {
            builder = builder.secret(secret.clone());
        }
        if let Some(uri) = &self.redirect_uri {
            builder = builder.redirect_uri(uri);
        }
        Ok(builder.build())
    }

    /// The Meetings integration.
    pub(crate) fn meetings_integration(
        &self,
        site: &MeetingsSite,
        scopes: impl IntoIterator<Item = MeetingsScope>,
    ) -> Result<MeetingsIntegration, Failure> {
        let mut builder = MeetingsIntegration::builder(&self.client_id).scopes(scopes);
        if let Some((authorize, token)) = self.cloud.meetings()? {
            builder = builder.endpoints(authorize, token);
        }
        if let Some(site) = &site.site {
            let site = site.parse::<SiteName>();
            builder =
                builder.site(site.map_err(|error| Failure::usage(format!("--site: {error}")))?);
        }
        if let Some(secret) = &self.secret {
            builder = builder.secret(secret.clone());
        }
        if let Some(uri) = &self.redirect_uri {
            builder = builder.redirect_uri(uri);
        }
        Ok(builder.build())
    }

    /// Stores the profile and its tokens.
    pub(crate) async fn save(
        &self,
        store: &DirectoryStore,
        tokens: &TokenSet,
    ) -> Result<(), Failure> {
        let kept = StoredProfile {
            client_id: self.client_id.clone(),
            client_secret: self.secret.as_ref().map(|secret| secret.expose_secret().to_owned()),
            redirect_uri: self.redirect_uri.clone(),
            cloud: self.cloud.clone(),
            meetings: self.meetings.clone(),
        };
        let json = serde_json::to_string(&kept).map_err(|e| Failure::other(e.to_string()))?;
        store.save(PROFILE, SecretString::from(json)).await.map_err(|error| failed(&error))?;
        store.save(TOKENS, tokens.to_json()).await.map_err(|error| failed(&error))
    }

    /// Loads the stored sign-in.
    pub(crate) async fn load(store: &DirectoryStore, insecure: Insecure) -> Result<Self, Failure> {
        Self::find(store, insecure).await?.ok_or_else(not_signed_in)
    }

    /// Loads the stored sign-in, if there is one.
    pub(crate) async fn find(
        store: &DirectoryStore,
        insecure: Insecure,
    ) -> Result<Option<Self>, Failure> {
        let json = store.load(PROFILE).await.map_err(|error| failed(&error))?;
        let Some(json) = json else { return Ok(None) };
        let kept: StoredProfile = serde_json::from_str(json.expose_secret())
            .map_err(|_| failed(&StoreError::Foreign(PROFILE.to_owned())))?;
        Ok(Some(Self {
            cloud: CloudChoice { insecure, ..kept.cloud },
            client_id: kept.client_id,
            secret: kept.client_secret.map(SecretString::from),
            redirect_uri: kept.redirect_uri,
            meetings: kept.meetings,
        }))
    }

    /// The self-renewing tokens of the sign-in, over a transport.
    pub(crate) async fn tokens(
        &self,
        store: &Arc<DirectoryStore>,
        transport: &Transport,
    ) -> Result<Tokens, Failure> {
        let credentials = match &self.meetings {
            None => Credentials::stored(self.integration(Scopes::default())?),
            Some(site) => {
                let integration = self.meetings_integration(site, [])?;
                Credentials::meetings_xml(integration, stored(store).await?)
            }
        };
        Tokens::builder(credentials)
            .http(transport.token_http())
            .store(Arc::clone(store) as Arc<dyn Store>, TOKENS)
            .build()
            .map_err(|error| no_token(&error))
    }

    /// A client of the signed-in user.
    pub(crate) fn client(&self, tokens: Tokens, transport: Transport) -> Result<Webex, Failure> {
        self.build(Webex::builder(), tokens, transport)
    }

    /// Completes a client builder with the sign-in.
    pub(crate) fn build(
        &self,
        builder: WebexBuilder,
        tokens: Tokens,
        transport: Transport,
    ) -> Result<Webex, Failure> {
        builder
            .tokens(tokens)
            .endpoints(self.cloud.endpoints()?)
            .transport(transport)
            .danger_insecure_anywhere(self.cloud.insecure_anywhere())
            .build()
            .map_err(|error| Failure::sdk(error.kind(), &error))
    }
}

/// Removes the sign-in.
pub(crate) async fn forget(store: &DirectoryStore) -> Result<(), Failure> {
    store.delete(TOKENS).await.map_err(|error| failed(&error))?;
    store.delete(PROFILE).await.map_err(|error| failed(&error))
}

/// The stored tokens.
pub(crate) async fn stored(store: &DirectoryStore) -> Result<TokenSet, Failure> {
    let json = store.load(TOKENS).await.map_err(|error| failed(&error))?;
    let json = json.ok_or_else(not_signed_in)?;
    TokenSet::from_json(json.expose_secret()).map_err(|error| no_token(&error))
}

/// What to do when there is no token.
pub(crate) fn no_token(error: &TokenError) -> Failure {
    match error {
        TokenError::Unavailable { .. } => Failure::sdk(ErrorKind::Network, error),
        TokenError::Configuration { .. } => Failure::sdk(ErrorKind::ClientRefused, error),
        TokenError::Store { .. } => Failure::sdk(ErrorKind::Store, error),
        _ => Failure::unauthorized("the sign-in is over: run `webex login`"),
    }
}

fn not_signed_in() -> Failure {
    Failure::unauthorized("nobody is signed in: run `webex login`")
}

fn failed(error: &StoreError) -> Failure {
    Failure::sdk(ErrorKind::Store, error)
}

/// The user's configuration directory, as usual on the platform.
fn default_directory() -> Option<PathBuf> {
    let variable = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = if cfg!(windows) {
        variable("APPDATA")
    } else if cfg!(target_os = "macos") {
        variable("HOME").map(|home| home.join("Library/Application Support"))
    } else {
        variable("XDG_CONFIG_HOME").or_else(|| variable("HOME").map(|home| home.join(".config")))
    };
    base.map(|base| base.join("webex"))
}
