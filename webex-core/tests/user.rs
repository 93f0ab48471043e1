//! Data of the user that all products share, requested once.

mod common;

use common::client;
use serde_json::json;
use webex_sandbox::{Hydra, Region, Sandbox};

#[tokio::test]
async fn the_users_record_is_asked_for_once() {
    let sandbox = Sandbox::start().await.unwrap();
    let webex = client(&sandbox);
    sandbox.fail(Hydra::me()).with(503).once();
    assert!(webex.user().await.is_err());
    let (one, two) = tokio::join!(webex.user(), webex.user());
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_eq!(one, two);
    let user = sandbox.user();
    assert_eq!(one.id.as_deref(), Some(user.id.as_str()));
    assert_eq!(one.display_name.as_deref(), Some(user.display_name.as_str()));
    assert_eq!(one.emails, std::slice::from_ref(&user.email));
    assert_eq!(one.org_id.as_deref(), Some(user.org_id.as_str()));
    assert_eq!(one.work_number(), Some(user.phone_number.as_str()));
    assert_eq!(one.extension.as_deref(), Some(user.extension.as_str()));
    let asked = sandbox.requests().of(Hydra::me());
    assert_eq!(asked.count(), 2, "the failure, and the one that all share");
    assert_eq!(asked.last().unwrap().query_value("callingData").as_deref(), Some("true"));
}

#[tokio::test]
async fn the_region_is_asked_for_once_in_each_network() {
    let sandbox = Sandbox::start().await.unwrap();
    let webex = client(&sandbox);
    let (one, two) = tokio::join!(webex.region(), webex.region());
    assert_eq!(one.unwrap(), two.unwrap());
    assert_eq!(webex.region().await.unwrap().country_code, "US");
    assert_eq!(sandbox.requests().of(Region::lookup()).count(), 1);
    webex.network_changed();
    // An odd field only affects itself.
    let odd = json!({"clientRegion": 7, "countryCode": "DE", "timezone": null});
    sandbox.fail(Region::lookup()).with(200).body(odd).once();
    let moved = webex.region().await.unwrap();
    assert_eq!((moved.client_region.as_str(), moved.country_code.as_str()), ("", "DE"));
    let asked = sandbox.requests().of(Region::lookup());
    assert_eq!(asked.count(), 2);
    assert_eq!(asked.last().unwrap().header("authorization"), None);
    assert_eq!(asked.last().unwrap().header("spark-user-agent"), None);
}
