//! `webex whoami`: who is signed in, and for how long.

use std::time::SystemTime;

use clap::Args;
use serde::Deserialize;
use serde_json::json;
use webex_sdk::core::{Request, Webex};

use crate::{
    exit::Failure,
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

/// The user's record (`people/me`).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Person {
    id: String,
    display_name: Option<String>,
    #[serde(default)]
    emails: Vec<String>,
    org_id: Option<String>,
}

impl Person {
    /// The most readable name.
    pub(crate) fn name(&self) -> &str {
        self.display_name.as_deref().or(self.emails.first().map(String::as_str)).unwrap_or(&self.id)
    }
}

/// Asks the cloud and shows the answer.
pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let store = arguments.store.open()?;
    let signed_in = Profile::load(&store, arguments.insecure).await?;
    let transport = signed_in.cloud.transport()?;
    let tokens = signed_in.tokens(&store, &transport)?;
    let client = signed_in.client(tokens, transport)?;
    let person = person(&client).await?;
    // Read after the request, which may have renewed the token.
    let set = profile::stored(&store).await?;
    let scopes = set.granted().map(ToString::to_string);
    let cloud = signed_in.cloud.cloud.as_deref().unwrap_or("webex");
    if arguments.json {
        let shown = json!({
            "id": person.id,
            "displayName": person.display_name,
            "emails": person.emails,
            "orgId": person.org_id,
            "cloud": cloud,
            "scope": scopes,
            "expiresAt": set.expires().map(timestamp),
        });
        println!("{shown}");
        return Ok(());
    }
    println!("{}", person.name());
    println!("  e-mail   {}", person.emails.join(", "));
    println!("  id       {}", person.id);
    println!("  org      {}", person.org_id.as_deref().unwrap_or("unknown"));
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
pub(crate) async fn person(client: &Webex) -> Result<Person, Failure> {
    let mut url = client.endpoints().webexapis.clone();
    url.set_path(&format!("{}/people/me", url.path().trim_end_matches('/')));
    let answer = client.http().send(Request::get(url)).await;
    let answer = answer.map_err(|error| Failure::sdk(error.kind(), &error))?;
    answer.json().map_err(|error| Failure::sdk(error.kind(), &error))
}

/// A point in time, readable for people and programs.
pub(crate) fn timestamp(at: SystemTime) -> String {
    jiff::Timestamp::try_from(at).map_or_else(|_| "for ever".to_owned(), |at| format!("{at:.0}"))
}
