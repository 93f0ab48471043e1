//! `webex logout`: revokes the tokens and erases them.

use clap::Args;

use crate::{
    exit::Failure,
    profile::{self, Insecure, Profile, StoreArguments},
};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    insecure: Insecure,
    #[command(flatten)]
    store: StoreArguments,
}

/// Signs out. Tokens that cannot be revoked are erased all the same.
pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let store = arguments.store.open()?;
    let signed_in = Profile::load(&store, arguments.insecure).await?;
    let tokens = signed_in.tokens(&store, &signed_in.cloud.transport()?).await?;
    let revoked = tokens.sign_out().await;
    profile::forget(&store).await?;
    match revoked {
        Ok(()) => {
            println!("Signed out.");
            Ok(())
        }
        Err(error) => Err(Failure::other(format!(
            "signed out here, but the tokens could not be revoked and live on: {error}"
        ))),
    }
}
