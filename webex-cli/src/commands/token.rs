//! `webex token`: prints an access token, for other programs.

use std::io::{self, IsTerminal};

use clap::Args;
use serde_json::json;

use crate::{
    commands::whoami::timestamp,
    exit::Failure,
    profile::{self, Insecure, Profile, StoreArguments},
};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Print a JSON object with token, type, expiry and scopes
    #[arg(long)]
    json: bool,
    /// Print even to a terminal, where others may see it and where it stays in the history
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    insecure: Insecure,
    #[command(flatten)]
    store: StoreArguments,
}

/// Prints the token, renewed if necessary.
pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    if io::stdout().is_terminal() && !arguments.force {
        return Err(Failure::usage(
            "a token is not shown on a terminal: pipe it to a program, or use --force",
        ));
    }
    let store = arguments.store.open()?;
    let signed_in = Profile::load(&store, arguments.insecure).await?;
    let tokens = signed_in.tokens(&store, &signed_in.cloud.transport()?).await?;
    let token = tokens.token().await.map_err(|error| profile::no_token(&error))?;
    if arguments.json {
        let set = profile::stored(&store).await?;
        let shown = json!({
            "access_token": token.expose(),
            "token_type": "Bearer",
            "expires_at": set.expires().map(timestamp),
            "scope": set.granted().map(ToString::to_string),
        });
        println!("{shown}");
    } else {
        println!("{}", token.expose());
    }
    Ok(())
}
