//! `webex whoami`: who is signed in, and for how long.

use std::{sync::Arc, time::SystemTime};

use clap::Args;
use serde_json::json;
use webex_sdk::core::{ServerText, User, Webex};

use crate::{
    exit::Failure,
    output::printable,
    profile::{self, Insecure, Profile, StoreArguments},
};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Print a JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    insecure: Insecure,
    #[command(flatten)]
    store: StoreArguments,
}

/// Asks the cloud and shows the answer.
pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let store = arguments.store.open()?;
    let signed_in = Profile::load(&store, arguments.insecure).await?;
    let transport = signed_in.cloud.transport()?;
    let tokens = signed_in.tokens(&store, &transport).await?;
    let client = signed_in.client(tokens, transport)?;
    let user = user(&client).await?;
    // Read after the request, which may have renewed the token.
    let set = profile::stored(&store).await?;
    let scopes = set.granted().map(ToString::to_string);
    let cloud = signed_in.cloud.cloud.as_deref().unwrap_or("webex");
    if arguments.json {
        let shown = json!({
            "id": user.id,
            "displayName": user.display_name,
            "emails": user.emails,
            "orgId": user.org_id,
            "cloud": cloud,
            "scope": scopes,
            "expiresAt": set.expires().map(timestamp),
        });
        println!("{}", printable(&shown.to_string()));
        return Ok(());
    }
    let shown = |text: Option<&str>| ServerText::new(text.unwrap_or("unknown"));
    println!("{}", name(&user));
    println!("  e-mail   {}", shown(Some(&user.emails.join(", "))));
    println!("  id       {}", shown(user.id.as_deref()));
    println!("  org      {}", shown(user.org_id.as_deref()));
    println!("  cloud    {cloud}");
    println!("  scopes   {}", scopes.as_deref().unwrap_or("unknown"));
    println!(
        "  token    {}",
        set.expires().map_or("does not expire".to_owned(), |at| {
            format!("until {}, renewed before that", timestamp(at))
        })
    );
    Ok(())
}

/// Fetches the user of a client's token.
pub(crate) async fn user(client: &Webex) -> Result<Arc<User>, Failure> {
    client.user().await.map_err(|error| Failure::sdk(error.kind(), &error))
}

/// The most readable name of a user.
pub(crate) fn name(user: &User) -> ServerText {
    let names = [user.display_name.as_ref(), user.emails.first(), user.id.as_ref()];
    ServerText::new(
        names.into_iter().flatten().next().map_or("a user without a name", String::as_str),
    )
}

/// A point in time, readable for people and programs.
pub(crate) fn timestamp(at: SystemTime) -> String {
    jiff::Timestamp::try_from(at).map_or_else(|_| "for ever".to_owned(), |at| format!("{at:.0}"))
}
