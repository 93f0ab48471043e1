//! `webex login`: signs in with the browser or on another device, and stores the tokens.
//!
//! Without a client id it signs in to a sandbox, given or started here, whose users consent at
//! once.

use std::{
    env,
    error::Error,
    io::{self, IsTerminal},
    path::PathBuf,
    sync::Arc,
};

use clap::Args;
use secrecy::SecretString;
use url::Url;
use webex_sandbox::{OAuthClient, Sandbox};
use webex_sdk::{
    auth::{
        AuthorizationRequest, CodeGrant, Credentials, DevicePrompt, DeviceState, DirectoryStore,
        Integration, LoopbackListener, OAuthError, Scope, Scopes, TokenHttp, TokenSet, Tokens,
        meetings_xml::{MeetingsScope, SiteName},
        open_browser, pasted,
    },
    core::{ErrorKind, Request, Transport},
};

use crate::{
    cloud::read_secret,
    commands::whoami,
    exit::Failure,
    profile::{CloudChoice, MeetingsSite, Profile, StoreArguments, no_token, pasted_text},
    signals::Signals,
};

/// The environment variable with the client secret, unless it is in a file.
const SECRET_VARIABLE: &str = "WEBEX_CLIENT_SECRET";

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Show a code to enter on another device instead of opening a browser here
    #[arg(long)]
    device: bool,
    /// Sign in to the XML API of a Webex Meetings site, with a Meetings integration
    #[arg(long, requires = "client_id", conflicts_with = "device")]
    meetings_xml: bool,
    /// The Meetings site: its name, or any of its addresses [default: the one that signs in]
    #[arg(long, value_name = "SITE", requires = "meetings_xml")]
    site: Option<SiteName>,
    /// The `state` of the link, which has to come back with the redirect [default: a random one]
    #[arg(long, value_name = "STATE", requires = "client_id", conflicts_with = "device", value_parser = pasted_text)]
    state: Option<String>,
    /// Client id of the integration [default: that of a sandbox]
    #[arg(long, env = "WEBEX_CLIENT_ID", value_name = "ID", value_parser = pasted_text)]
    client_id: Option<String>,
    /// File with the client secret [default: `WEBEX_CLIENT_SECRET`, or asked for]
    #[arg(long, value_name = "FILE", requires = "client_id")]
    client_secret_file: Option<PathBuf>,
    /// Redirect URI as registered; a port of this machine
    #[arg(long, default_value = "http://127.0.0.1:8080/callback", value_name = "URI", value_parser = pasted_text)]
    redirect_uri: String,
    /// Scopes to ask for, separated by spaces [default: those of calling and meetings]
    #[arg(long, value_name = "SCOPES")]
    scope: Option<String>,
    /// Do not open the browser, only print the link
    #[arg(long)]
    no_browser: bool,
    #[command(flatten)]
    cloud: CloudChoice,
    #[command(flatten)]
    store: StoreArguments,
}

/// Signs in and stores the tokens.
pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let mut signals = Signals::listen().map_err(|error| Failure::other(error.to_string()))?;
    tokio::select! {
        done = sign_in(arguments) => done,
        () = signals.next() => Err(Failure::other("interrupted: nobody was signed in")),
    }
}

async fn sign_in(arguments: Arguments) -> Result<(), Failure> {
    let Some(client_id) = arguments.client_id.clone() else {
        let scopes = scopes(arguments.scope.as_deref())?;
        return to_sandbox(arguments, scopes).await;
    };
    let store = arguments.store.clone().open()?;
    let secret = client_secret(arguments.client_secret_file.as_deref())?;
    let uri = Some(&*arguments.redirect_uri);
    let profile = Profile::new(&client_id, secret, uri, arguments.cloud.clone());
    let transport = arguments.cloud.transport()?;
    let http = transport.token_http();
    if arguments.meetings_xml {
        return to_meetings(arguments, profile, &*http, &store).await;
    }
    let integration = profile.integration(scopes(arguments.scope.as_deref())?)?;
    let tokens = if arguments.device {
        by_device(&integration, http, async |_| Ok(())).await?
    } else {
        let request = integration.authorization().map_err(|error| refused(&error))?;
        let grant = by_browser(request, &arguments).await?;
        integration.exchange(&*http, grant).await.map_err(|error| refused(&error))?
    };
    if let Err(missing) = tokens.require(integration.scopes()) {
        eprintln!("webex: {missing}");
    }
    profile.save(&store, &tokens).await?;
    println!("Signed in. The tokens are in {}.", store.path().display());
    Ok(())
}

/// The scopes to ask for.
fn scopes(text: Option<&str>) -> Result<Scopes, Failure> {
    match text {
        Some(text) => text.parse().map_err(|error| Failure::usage(format!("--scope: {error}"))),
        None => Ok(Scopes::calling() | Scopes::meetings() | [Scope::PEOPLE_READ]),
    }
}

/// Signs in to a Webex Meetings site.
async fn to_meetings(
    arguments: Arguments,
    profile: Profile,
    http: &dyn TokenHttp,
    store: &DirectoryStore,
) -> Result<(), Failure> {
    let scopes = arguments.scope.as_deref().unwrap_or(MeetingsScope::AllRead.as_str());
    let scopes = scopes.split_whitespace().map(meetings_scope);
    let scopes = scopes.collect::<Result<Vec<_>, _>>()?;
    let site = MeetingsSite { site: arguments.site.as_ref().map(ToString::to_string) };
    let integration = profile.meetings_integration(&site, scopes)?;
    let request = integration.authorization().map_err(|error| refused(&error))?;
    let grant = by_browser(request, &arguments).await?;
    let signed_in = integration.exchange(http, grant).await.map_err(|error| refused(&error))?;
    let site = match site.site {
        Some(site) => Some(site),
        None => signed_in.site_name().map(|site| site.to_string()),
    };
    println!(
        "Signed in to {} as {}. The tokens are in {}.",
        site.as_deref().unwrap_or("Webex Meetings"),
        signed_in.user_name().or(signed_in.email()).unwrap_or("a user without a name"),
        store.path().display()
    );
    let profile = profile.meetings(MeetingsSite { site });
    profile.save(store, signed_in.tokens()).await
}

fn meetings_scope(name: &str) -> Result<MeetingsScope, Failure> {
    const ALL: [MeetingsScope; 5] = [
        MeetingsScope::AllRead,
        MeetingsScope::UserModify,
        MeetingsScope::MeetingModify,
        MeetingsScope::RecordingModify,
        MeetingsScope::SettingModify,
    ];
    ALL.into_iter().find(|scope| scope.as_str() == name).ok_or_else(|| {
        let known = ALL.map(MeetingsScope::as_str).join(", ");
        Failure::usage(format!("--scope: a Meetings integration has {known}"))
    })
}

/// Waits for the system browser's redirect.
async fn by_browser(
    mut request: AuthorizationRequest,
    arguments: &Arguments,
) -> Result<CodeGrant, Failure> {
    let (port, path) = loopback(&arguments.redirect_uri)?;
    let listener = LoopbackListener::bind(port, path).await;
    let listener = listener.map_err(|error| Failure::other(error.to_string()))?;
    if port == 0 {
        request = request.redirect_uri(listener.redirect_uri());
    }
    if let Some(state) = &arguments.state {
        request = request.state(state.clone());
    }
    let authorization = request.start();
    println!("Sign in with your browser:\n  {}", authorization.url());
    if !arguments.no_browser
        && let Err(error) = open_browser(authorization.url())
    {
        eprintln!("webex: no browser could be opened ({error}): open the link yourself");
    }
    listener.wait(authorization).await.map_err(|error| refused(&error))
}

/// Shows a code and waits until it is entered. Calls `shown` once the code is shown.
async fn by_device(
    integration: &Integration,
    http: Arc<dyn TokenHttp>,
    shown: impl AsyncFnOnce(&DevicePrompt) -> Result<(), Failure>,
) -> Result<TokenSet, Failure> {
    let begun = integration.device_sign_in(http).await;
    let mut sign_in = begun.map_err(|error| refused(&error))?;
    let prompt = sign_in.prompt();
    println!("Open {} and enter the code {}", prompt.link(), prompt.code());
    if io::stdout().is_terminal()
        && let Some(qr) = prompt.qr()
    {
        println!("{qr}");
    }
    println!("The code is good for {} s.", prompt.life().as_secs());
    shown(prompt).await?;
    while let Some(state) = sign_in.next().await {
        match state {
            DeviceState::SignedIn(tokens) => return Ok(tokens),
            DeviceState::Failed(error) => return Err(refused(&error)),
            DeviceState::Unreachable { error, time_left } => {
                eprintln!("webex: {error}; trying on for {} s", time_left.as_secs());
            }
            _ => {}
        }
    }
    Err(Failure::other("the sign-in ended without a result"))
}

/// Signs in to a sandbox as its default user.
async fn to_sandbox(arguments: Arguments, scopes: Scopes) -> Result<(), Failure> {
    if arguments.cloud.cloud.is_none() {
        return to_own_sandbox(scopes).await;
    }
    let store = arguments.store.open()?;
    let (cloud, transport) = (arguments.cloud.clone(), arguments.cloud.transport()?);
    let (profile, integration) = sandbox_profile(cloud, scopes)?;
    let client = profile.client(anonymous()?, transport.clone())?;
    let http = transport.token_http();
    let tokens = by_device(&integration, http, async |prompt| {
        // A sandbox has no page: opening the link is consent.
        if let (false, Some(link)) = (arguments.device, prompt.link_with_code()) {
            let opened = client.http().send(Request::get(link.clone()).unlisted()).await;
            opened.map_err(|error| Failure::sdk(error.kind(), &error))?;
        }
        Ok(())
    });
    profile.save(&store, &tokens.await?).await?;
    println!("Signed in to the sandbox. The tokens are in {}.", store.path().display());
    Ok(())
}

/// Signs in without any arguments: to a sandbox of this process, which ends with it.
async fn to_own_sandbox(scopes: Scopes) -> Result<(), Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::other(format!("sandbox: {error}"));
    let sandbox = Sandbox::start().await.map_err(|error| failed(&error))?;
    let origin = sandbox.origin().as_str().trim_end_matches('/').to_owned();
    let cloud = CloudChoice::at(origin);
    let transport = Transport::builder()
        .extra_roots_pem(sandbox.ca_pem().unwrap_or_default().as_bytes())
        .and_then(webex_sdk::core::TransportBuilder::build)
        .map_err(|error| failed(&error))?;
    let (profile, integration) = sandbox_profile(cloud, scopes)?;
    let tokens = by_device(&integration, transport.token_http(), async |prompt| {
        sandbox.identity().approve_device(prompt.code(), sandbox.user());
        Ok(())
    });
    let credentials = Credentials::integration(integration.clone(), tokens.await?);
    let tokens = Tokens::builder(credentials).http(transport.token_http()).build();
    let tokens = tokens.map_err(|error| no_token(&error))?;
    let user = whoami::user(&profile.client(tokens, transport)?).await?;
    println!(
        "No client id and no cloud given: signed in as {} to a sandbox inside this program, which \
         is gone now.\nTo keep one, run `webex sandbox`, and `webex login --cloud ORIGIN` with its \
         origin.",
        whoami::name(&user),
    );
    sandbox.shutdown().await;
    Ok(())
}

/// The client that every sandbox has.
fn sandbox_profile(cloud: CloudChoice, scopes: Scopes) -> Result<(Profile, Integration), Failure> {
    let secret = SecretString::from(OAuthClient::DEFAULT_SECRET);
    let profile = Profile::new(OAuthClient::DEFAULT_ID, Some(secret), None, cloud);
    let integration = profile.integration(scopes)?;
    Ok((profile, integration))
}

/// Tokens for requests before sign-in.
fn anonymous() -> Result<Tokens, Failure> {
    let tokens = Tokens::new(Credentials::access_token("nobody"));
    tokens.map_err(|error| no_token(&error))
}

/// The client secret, from a file, the environment, or the person at the terminal.
fn client_secret(file: Option<&std::path::Path>) -> Result<Option<SecretString>, Failure> {
    if let Some(path) = file {
        return read_secret("--client-secret-file", path).map(Some);
    }
    let text = if let Ok(text) = env::var(SECRET_VARIABLE) {
        text
    } else if io::stdin().is_terminal() {
        rpassword::prompt_password("Client secret (empty for none): ")
            .map_err(|error| Failure::other(format!("the secret cannot be read: {error}")))?
    } else {
        String::new()
    };
    if text.trim().is_empty() {
        return Ok(None);
    }
    let secret = pasted::secret(&text)
        .map_err(|error| Failure::usage(format!("the client secret: {error}")))?;
    Ok(Some(secret.into()))
}

/// Port and path of a redirect URI to this machine.
fn loopback(uri: &str) -> Result<(u16, String), Failure> {
    let bad = || {
        Failure::usage(format!(
            "--redirect-uri {uri}: want a port of this machine, such as http://127.0.0.1:8080/callback"
        ))
    };
    let url = Url::parse(uri).map_err(|_| bad())?;
    let local = matches!(url.host_str(), Some("127.0.0.1" | "localhost"));
    match url.port() {
        Some(port) if local && url.scheme() == "http" => Ok((port, url.path().to_owned())),
        _ => Err(bad()),
    }
}

/// Classifies a failed sign-in: a fault of the application, the network or the user.
fn refused(error: &(dyn Error + 'static)) -> Failure {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.is::<OAuthError>() {
            break;
        }
        cause = error.source();
    }
    let kind = match cause.and_then(<dyn Error>::downcast_ref) {
        Some(OAuthError::Transport(_) | OAuthError::Http(_) | OAuthError::Intercepted(_)) => {
            ErrorKind::Network
        }
        Some(OAuthError::ServerError(_) | OAuthError::TemporarilyUnavailable(_)) => {
            ErrorKind::Server
        }
        Some(OAuthError::RateLimited(_)) => ErrorKind::RateLimited { retry_after: None },
        Some(
            OAuthError::InvalidClient(_)
            | OAuthError::UnauthorizedClient(_)
            | OAuthError::UnsupportedGrantType(_)
            | OAuthError::UnsupportedResponseType(_)
            | OAuthError::InvalidScope(_),
        ) => ErrorKind::ClientRefused,
        Some(OAuthError::NotConfigured(_)) => ErrorKind::Configuration,
        _ => return Failure::unauthorized(chain(error)),
    };
    Failure::sdk(kind, &chain(error))
}

/// An error with its sources.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = error.source();
    }
    text
}
