//! A native Webex client: this is the crate that an application depends on.
//!
//! It joins four crates under one name, as the modules [`auth`], [`core`], [`meetings`] and
//! [`calling`], and has at its root what most programs name. The guide below is in the order in
//! which a program meets things.
//!
//! # 1. Say who the user is
//! [`Credentials`] is what a program knows about its user: a ready access token, or a sign-in whose
//! tokens renew themselves.
//!
//! ```
//! use webex_sdk::Credentials;
//!
//! let credentials = Credentials::access_token("YWJj_P0A1_0e600000-0000-4000-8000-000000000003");
//! assert!(!format!("{credentials:?}").contains("YWJj"), "secrets cannot be printed");
//! ```
//!
//! A program that signs its users in makes an [`Integration`] and sends the user to a browser or to
//! another device. [`Tokens`] then renews what came of it, and a [`Store`] keeps it for the next
//! start:
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use webex_sdk::{Credentials, DirectoryStore, Integration, Scopes, Tokens, Transport};
//!
//! # async fn example(secret: String) -> Result<Tokens, Box<dyn std::error::Error>> {
//! let integration = Integration::builder("C0ffee")
//!     .secret(secret)
//!     .scopes(Scopes::calling() | Scopes::meetings())
//!     .build();
//! let tokens = Tokens::builder(Credentials::stored(integration.clone()))
//!     .http(Transport::shared()?.token_http())
//!     .store(Arc::new(DirectoryStore::new("/var/lib/app/webex")), "ada@example.com")
//!     .build()?;
//! if tokens.token().await.is_err() {
//!     let sign_in = integration.device_sign_in(Transport::shared()?.token_http()).await?;
//!     println!("open {} and enter {}", sign_in.prompt().link(), sign_in.prompt().code());
//!     tokens.supply(sign_in.finish().await?).await?;
//! }
//! # Ok(tokens) }
//! ```
//!
//! # 2. Make a client
//! [`Webex`] is one user. It is built without any I/O, on a tokio runtime. Clones are the same
//! client; any number of clients, for any number of users, share one set of connections.
//!
//! # 3. Register a Meetings device, and a Calling line
//! [`Meetings`] and [`CallingClient`] are the two products; a program uses either or both.
//! Subscribe before registering, and no event is missed. `Line::register` says what is wanted and
//! returns at once: the line keeps itself registered until [`Line::deregister`].
//!
//! ```
//! use webex_sdk::{CallingClient, CallingConfig, Credentials, LineEvent, Meetings, Webex};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let sandbox = webex_sandbox::Sandbox::start().await?;
//! # let token = sandbox.token();
//! # let cloud = webex_sdk::Endpoints::at(sandbox.origin().as_str())?;
//! # let ca = sandbox.ca_pem().unwrap().as_bytes().to_vec();
//! # let transport = webex_sdk::Transport::builder().extra_roots_pem(&ca)?.build()?;
//! let webex = Webex::builder()
//!     .credentials(Credentials::access_token(token))
//! #   .endpoints(cloud)
//! #   .transport(transport)
//!     .build()?;
//!
//! let meetings = Meetings::new(&webex);
//! meetings.register().await?;
//!
//! let calling = CallingClient::new(&webex, CallingConfig::default()).await?;
//! let line = calling.lines().remove(0);
//! let mut events = line.subscribe();
//! line.register();
//! while let Some(event) = events.next().await {
//!     match event {
//!         LineEvent::Registered(info) => {
//!             println!("registered as {:?}", info.sip_addresses);
//!             break;
//!         }
//!         LineEvent::Error(error) => return Err(error.into()),
//!         other => println!("{}", other.name()),
//!     }
//! }
//!
//! calling.deregister().await?;
//! meetings.unregister().await?;
//! # assert_eq!(sandbox.counts().devices, 0);
//! # Ok(()) }
//! ```
//!
//! # 4. Hear what happens
//! Each object has a stream of events ([`Subscription`]) and a state that can be read at any time.
//! Events have documented names and one JSON form, the same here, in the C interface and in the
//! output of the `webex` command: `docs/events.md` is the table. [`Webex::subscribe_to`] hears
//! events of other services by name.
//!
//! # 5. When something fails
//! Every operation has its own error type, and each answers `kind()`: an [`ErrorKind`] says what to
//! do, such as sign in again, wait, or check the network. Errors keep the tracking id that Webex
//! support asks for.
//!
//! # 6. Leave
//! [`CallingClient::deregister`] and [`Meetings::unregister`] give up line, socket and device and
//! wait for the cloud to confirm. A program that is killed leaves nothing for long: the device
//! expires by itself, or is used again by the next start when there is a
//! [state store](core::WebexBuilder::state_store).
//!
//! # Features
//! None is on by default: `browser` (opens the system browser), `qr` (draws the link of a device
//! sign-in), `keyring` and `redis` (stores of tokens).

#![forbid(unsafe_code)]

pub use webex_auth as auth;
pub use webex_calling as calling;
pub use webex_core as core;
pub use webex_meetings as meetings;

#[cfg(feature = "keyring")]
pub use webex_auth::KeyringStore;
#[cfg(feature = "redis")]
pub use webex_auth::RedisStore;
#[cfg(feature = "browser")]
pub use webex_auth::open_browser;
pub use webex_auth::{
    Credentials, DirectoryStore, Integration, MemoryStore, Scope, Scopes, SecretString, Store,
    TokenError, TokenSet, TokenState, Tokens,
};
pub use webex_calling::{
    CallingClient, CallingConfig, CallingError, CallingEvent, Line, LineError, LineEvent, LineInfo,
    LineState, LineStatus,
};
pub use webex_core::{
    DeviceConfig, Endpoints, ErrorKind, HttpError, Subscription, Transport, Webex, WebexBuilder,
};
pub use webex_meetings::{Meetings, MeetingsError, MeetingsEvent, MeetingsState};
