//! Registers a Meetings device and a Calling line, shows the line's events for a minute, and
//! deregisters.
//!
//! ```sh
//! WEBEX_ACCESS_TOKEN=… cargo run -p webex-examples --bin register
//! ```

use std::{env, error::Error, time::Duration};

use webex_sdk::{CallingClient, CallingConfig, Credentials, LineEvent, Meetings, Webex};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let token = env::var("WEBEX_ACCESS_TOKEN")?;
    let webex = Webex::builder().credentials(Credentials::access_token(token)).build()?;

    let meetings = Meetings::new(&webex);
    meetings.register().await?;
    println!("meetings registered");

    let calling = CallingClient::new(&webex, CallingConfig::default()).await?;
    let line = calling.lines().remove(0);
    let mut events = line.subscribe(); // before register(), so that no event is missed
    line.register();
    let shown = async {
        while let Some(event) = events.next().await {
            match event {
                LineEvent::Registered(info) => println!("registered as {:?}", info.sip_addresses),
                LineEvent::Error(error) => println!("{}: {error}", error.documented().kind),
                other => println!("{}", other.name()),
            }
        }
    };
    // The time limit ends the loop, because a line keeps itself registered.
    let _ = tokio::time::timeout(Duration::from_secs(60), shown).await;

    calling.deregister().await?;
    meetings.unregister().await?;
    Ok(())
}
