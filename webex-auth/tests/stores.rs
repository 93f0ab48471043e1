//! The contract of every store, whatever is behind it.

#[path = "common/redis.rs"]
mod redis;

use std::{sync::Arc, time::Duration};

use keyring_core::mock;
use secrecy::{ExposeSecret, SecretString};
use tokio::time::timeout;
use webex_auth::{DirectoryStore, KeyringStore, MemoryStore, RedisStore, Store, StoreError};

/// Two handles of one store, as in two parts of a program or two processes.
type Two = [Arc<dyn Store>; 2];

/// Makes a test of each store, given how to open two handles. What is returned with them lives as
/// long as the test.
macro_rules! store_contract {
    ($($name:ident: $open:expr;)*) => {
        $(
            #[tokio::test]
            async fn $name() {
                let (two, _lives) = $open;
                keeps_values(&two).await;
                refuses_bad_names(&two[0]).await;
                locks_by_name(&two).await;
            }
        )*
    };
}

store_contract! {
    memory: {
        let store = MemoryStore::new();
        (two(store.clone(), store), ())
    };
    directory: {
        let folder = tempfile::tempdir().unwrap();
        let open = || DirectoryStore::new(folder.path().join("made/when/needed"));
        (two(open(), open()), folder)
    };
    keyring: {
        let store = KeyringStore::with_keyring(mock::Store::new().unwrap(), "app");
        (two(store.clone(), store), ())
    };
    keyring_with_locks_in_a_directory: {
        let (folder, keyring) = (tempfile::tempdir().unwrap(), mock::Store::new().unwrap());
        let open = || KeyringStore::with_keyring(keyring.clone(), "app").lock_in(folder.path());
        (two(open(), open()), folder)
    };
    redis_server: {
        let server = redis::Server::start();
        let open = || RedisStore::new(&server.address, "webex").unwrap();
        (two(open(), open()), server)
    };
}

fn two(one: impl Store + 'static, other: impl Store + 'static) -> Two {
    [Arc::new(one), Arc::new(other)]
}

async fn value(store: &Arc<dyn Store>, name: &str) -> Option<String> {
    let value = store.load(name).await.unwrap();
    value.map(|value| value.expose_secret().to_owned())
}

async fn keeps_values([one, other]: &Two) {
    assert_eq!(value(one, "ada").await, None);
    for text in ["one", "two\nlines\r\n", "", "ünï\u{0}\u{202e}", &"x".repeat(100_000)] {
        one.save("ada", SecretString::from(text)).await.unwrap();
        assert_eq!(value(one, "ada").await.as_deref(), Some(text));
        assert_eq!(value(other, "ada").await.as_deref(), Some(text), "seen by all");
    }
    // Names that differ only in case or parts are different.
    let names = ["Ada", "ada:device", "ada.device", "ada.corrupt", "a", "ada@example.com+-_"];
    for name in names {
        one.save(name, SecretString::from(name)).await.unwrap();
    }
    for name in names {
        assert_eq!(value(other, name).await.as_deref(), Some(name));
        one.delete(name).await.unwrap();
        other.delete(name).await.unwrap(); // already gone
        assert_eq!(value(one, name).await, None, "{name}");
    }
    assert!(value(one, "ada").await.is_some(), "only what was named is gone");
    one.delete("ada").await.unwrap();
}

async fn refuses_bad_names(store: &Arc<dyn Store>) {
    for name in ["", "../x", "a/b", ".a", "a b", "ada:", "ä", "a#lock", &"x".repeat(101)] {
        let bad = |error: StoreError| matches!(error, StoreError::BadName(_));
        assert!(store.load(name).await.is_err_and(bad), "{name}");
        assert!(store.save(name, SecretString::from("x")).await.is_err_and(bad), "{name}");
        assert!(store.delete(name).await.is_err_and(bad), "{name}");
        assert!(store.lock(name).await.is_err_and(bad), "{name}");
    }
}

async fn locks_by_name([one, other]: &Two) {
    let held = one.lock("ada").await.unwrap();
    assert!(held.is_held());
    for name in ["Ada", "ada:device", "bob"] {
        other.lock(name).await.unwrap().release().await;
    }
    // Values do not need the lock.
    other.save("ada", SecretString::from("x")).await.unwrap();
    assert_eq!(value(one, "ada").await.as_deref(), Some("x"));

    let mut second = Box::pin(other.lock("ada"));
    let moment = Duration::from_millis(50);
    assert!(timeout(moment, second.as_mut()).await.is_err(), "it is held");
    held.release().await;
    let second = second.await.unwrap();
    drop(second); // without waiting
    one.lock("ada").await.unwrap().release().await;
}

#[tokio::test]
async fn redis_prefixes_do_not_overlap() {
    let server = redis::Server::start();
    let open = |prefix: &str| RedisStore::new(&server.address, prefix).unwrap();
    let (short, long) = (open("a"), open("ab"));
    long.save("c", SecretString::from("long")).await.unwrap();
    assert!(short.load("bc").await.unwrap().is_none());
    // A value is not a lock, whatever its name.
    let locks = open("x:y");
    locks.save("lock", SecretString::from("value")).await.unwrap();
    let values = open("x");
    values.lock("y").await.unwrap().release().await;
    assert!(locks.load("lock").await.unwrap().is_some());
    assert!(open("a:").load("missing").await.unwrap().is_none());
    open("a").save("ada", SecretString::from("same")).await.unwrap();
    assert!(open("a:").load("ada").await.unwrap().is_some(), "a colon that is there is enough");
}
