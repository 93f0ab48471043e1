//! Signs in on another device, stores the tokens, and uses them; the next run needs no sign-in.
//!
//! ```sh
//! WEBEX_CLIENT_ID=… WEBEX_CLIENT_SECRET=… cargo run -p webex-examples --bin sign_in
//! ```

use std::{env, error::Error, sync::Arc};

use webex_sdk::{
    Credentials, DirectoryStore, Integration, Meetings, Scopes, Store, TokenSet, TokenState,
    Tokens, Transport, Webex, auth::DeviceState,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let transport = Transport::shared()?;
    let integration = Integration::builder(env::var("WEBEX_CLIENT_ID")?)
        .secret(env::var("WEBEX_CLIENT_SECRET")?)
        .scopes(Scopes::calling() | Scopes::meetings())
        .build();

    // Tokens of an earlier run renew themselves; without any, the state asks for a sign-in.
    let store: Arc<dyn Store> = Arc::new(DirectoryStore::new("webex-sign-in"));
    let tokens = Tokens::builder(Credentials::stored(integration.clone()))
        .http(transport.token_http())
        .store(store, "tokens")
        .build()?;
    if tokens.token().await.is_err() {
        if let TokenState::ReauthRequired { reason } = tokens.state() {
            println!("a sign-in is needed: {reason}");
        }
        tokens.supply(sign_in(&integration, &transport).await?).await?;
    }

    let webex = Webex::builder().tokens(tokens).transport(transport).build()?;
    let meetings = Meetings::new(&webex);
    meetings.register().await?;
    println!("meetings registered");
    meetings.unregister().await?;
    Ok(())
}

async fn sign_in(
    integration: &Integration,
    transport: &Transport,
) -> Result<TokenSet, Box<dyn Error>> {
    let mut sign_in = integration.device_sign_in(transport.token_http()).await?;
    println!("open {} and enter {}", sign_in.prompt().link(), sign_in.prompt().code());
    while let Some(state) = sign_in.next().await {
        match state {
            DeviceState::Waiting { time_left } => println!("{} s left", time_left.as_secs()),
            DeviceState::SignedIn(tokens) => return Ok(tokens),
            DeviceState::Failed(error) => return Err(error.into()),
            _ => {}
        }
    }
    Err("the sign-in ended without a result".into())
}
