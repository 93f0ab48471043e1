//! Answers each message with its own text, until the stream ends.
//!
//! The access token is in the environment variable `WEBEX_ACCESS_TOKEN`. The environment also
//! decides where Webex host names lead to: `HTTPS_PROXY` and `SSL_CERT_FILE`.

use std::error::Error;

use webex::{ActivityType, Message, MessageActivity, MessageOut, Webex};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let token = std::env::var("WEBEX_ACCESS_TOKEN")?;
    let webex = Webex::new(&token).await;
    let mut events = webex.event_stream().await?;
    println!("listening");
    while events.is_open {
        let event = match events.next().await {
            Ok(event) => event,
            // For frames that are not events; the stream goes on.
            Err(error) => {
                println!("skipped: {error}");
                continue;
            }
        };
        if event.activity_type() != ActivityType::Message(MessageActivity::Posted) {
            continue;
        }
        let message: Message = webex.get(&event.try_global_id()?).await?;
        let mut reply = MessageOut::from(&message);
        reply.text = Some(format!("You said: {}", message.text.unwrap_or_default()));
        webex.send_message(&reply).await?;
        println!("answered");
    }
    Ok(())
}
