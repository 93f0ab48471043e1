//! A restart with everything that an earlier run has saved.

use std::sync::Arc;

use webex_auth::{DirectoryStore, Store};
use webex_core::Webex;
use webex_meetings::{Meetings, MeetingsState};
use webex_sandbox::{Mercury, Sandbox, U2c, Wdm};
use webex_tests::user::builder;

fn client(sandbox: &Sandbox, store: &Arc<dyn Store>) -> Webex {
    builder(sandbox).state_store(Arc::clone(store), "me").build().unwrap()
}

#[tokio::test]
async fn a_restart_requests_only_the_device_and_its_socket() {
    let sandbox = Sandbox::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = Arc::new(DirectoryStore::new(folder.path()));
    {
        let meetings = Meetings::new(&client(&sandbox, &store));
        meetings.register().await.unwrap();
        let kept = ["me=.device.secret", "me=.catalog.secret"].map(|name| folder.path().join(name));
        while !kept.iter().all(|file| file.exists()) {
            tokio::task::yield_now().await;
        }
    }
    // Ended without unregistering: the device stays for the next start.
    sandbox.wait_for(|s| s.counts().sockets == 0).await.unwrap();
    assert_eq!(sandbox.counts().devices, 1);
    sandbox.clear_requests();

    let meetings = Meetings::new(&client(&sandbox, &store));
    meetings.ready().await.unwrap();
    meetings.register().await.unwrap();
    assert_eq!(meetings.state(), MeetingsState::Registered);
    let requests = || sandbox.requests();
    assert!(requests().of(U2c::postauth()).is_empty() && requests().of(Wdm::register()).is_empty());
    sandbox.wait_for(|s| s.requests().of(Wdm::refresh()).answered(200).count() == 1).await.unwrap();
    assert_eq!(requests().of(Mercury::connect()).count(), 1);

    meetings.unregister().await.unwrap();
    assert_eq!((sandbox.counts().devices, sandbox.counts().sockets), (0, 0));
}
