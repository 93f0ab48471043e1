//! Catalog, WDM device and event socket.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;
use webex_sdk::core::{LinkError, LinkEvent, Request, Subscription, Webex, join, lenient};

use super::{examination::Doctor, finding::Finding, id::Id};

/// The largest list of devices that is read, in bytes: a hundred records with all features.
const LIST_LIMIT: usize = 4 * 1024 * 1024;

/// How many devices of its limit a user may have before it is worth a look.
const NEAR: usize = webex_sdk::core::device::DEVICE_LIMIT - 10;

/// Checks catalog, device and socket; the lease is kept by the doctor.
pub(super) async fn examine(doctor: &mut Doctor, webex: &Webex) {
    doctor.check(Id::Catalog, catalog(webex)).await;
    let mut events = webex.link().subscribe();
    let registering = async {
        let lease = match webex.link().acquire().await {
            Ok(lease) => lease,
            Err(error) => return (Finding::from(&error), None),
        };
        let device = tokio::select! {
            device = lease.device() => device,
            error = refused(&mut events) => Err(error),
        };
        match device {
            Ok(device) => (Finding::ok("registered"), Some((lease, Some(device)))),
            Err(LinkError::TooManyDevices { .. }) => {
                (Finding::skipped(Id::DeviceLimit), Some((lease, None)))
            }
            Err(error) => (Finding::from(&error), Some((lease, None))),
        }
    };
    let Some((lease, device)) = doctor.check(Id::Wdm, registering).await else { return };
    let lease = doctor.held.lease.insert(Arc::new(lease));
    let Some(device) = device else {
        if let Some(error @ LinkError::TooManyDevices { .. }) = &webex.link().state().failure {
            let advice = "sign out elsewhere: each signed-in app is a device";
            doctor.add(Id::DeviceLimit, None, Finding::from(error).advised(advice));
        }
        return;
    };
    for private in [Some(&device.user_id), device.org_id.as_ref()].into_iter().flatten() {
        doctor.redactor.learn(private);
    }
    if let Some(id) = device.url.path_segments().and_then(Iterator::last) {
        doctor.redactor.learn(id);
    }
    let lease = Arc::clone(lease);
    let opening = async {
        let online = tokio::select! {
            online = lease.online() => online,
            error = refused(&mut events) => Err(error),
        };
        let finding = match online {
            Ok(()) => Finding::ok("open and authorized"),
            Err(error) => Finding::from(&error),
        };
        (finding, Some(()))
    };
    doctor.check(Id::Mercury, opening).await;
}

/// Why the link does not come up: a refusal, or what it has met in several attempts.
async fn refused(events: &mut Subscription<LinkEvent>) -> LinkError {
    while let Some(event) = events.next().await {
        match event {
            LinkEvent::Failed(error) | LinkEvent::Retrying(error) => return error,
            _ => {}
        }
    }
    LinkError::Closed
}

async fn catalog(webex: &Webex) -> (Finding, Option<()>) {
    let finding = match webex.ready().await {
        Ok(catalog) => Finding::ok(format!("{} services", catalog.services().count())),
        Err(error) => Finding::from(&error),
    };
    (finding, Some(()))
}

/// How many devices the user has; `None` when the service does not tell.
pub(super) async fn devices(webex: &Webex) -> Option<usize> {
    #[derive(Deserialize)]
    struct List {
        #[serde(default, deserialize_with = "lenient::list")]
        devices: Vec<Box<RawValue>>,
    }
    let url = join(&webex.service_url("wdm").await.ok()?, "devices");
    let answer = webex.http().send(Request::get(url).answer_limit(LIST_LIMIT)).await.ok()?;
    Some(answer.json::<List>().ok()?.devices.len())
}

/// What it means that the user has so many devices, and so many lines at the calling servers.
pub(super) fn by_count(devices: Option<usize>, lines: usize) -> Finding {
    let counted = |count, what| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    let lines = counted(lines, "registered line");
    let Some(devices) = devices else {
        return Finding::ok(format!("not reached; {lines}"));
    };
    let detail = format!("{} with this one, {lines}", counted(devices, "device"));
    if devices > NEAR {
        return Finding::warning(detail, "sign out elsewhere: each signed-in app is a device");
    }
    Finding::ok(detail)
}
