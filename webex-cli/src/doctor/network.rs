//! The way to the cloud: proxy, names, connection, certificate, clock.

use std::time::{Duration, Instant, SystemTime};

use tokio::net::lookup_host;
use url::{Host, Url};
use webex_sdk::core::{Endpoints, ErrorKind, HttpError, ServerText, Transport, Webex};

use super::{examination::Doctor, finding::Finding, id::Id};

/// A clock that is wrong by more is worth a look. `Date` is exact to a second.
const ODD: Duration = Duration::from_secs(30);

/// A clock that is wrong by more breaks things: tokens made here are refused, expiry is misjudged, and
/// certificates end or begin.
const WRONG: Duration = Duration::from_secs(5 * 60);

/// Checks the way to the first address of the cloud, which is the service catalog's.
pub(super) async fn examine(doctor: &mut Doctor, webex: &Webex, transport: &Transport) {
    let url = &webex.endpoints().u2c;
    let proxy = match transport.proxy_of(url) {
        Ok(proxy) => proxy,
        Err(error) => {
            let advice = "mend the variable, or except the cloud's hosts with NO_PROXY";
            doctor.add(Id::Proxy, None, Finding::from(&error).advised(advice));
            return;
        }
    };
    let Some(proxy) = proxy else {
        doctor.add(Id::Proxy, None, Finding::ok("none: the cloud is reached directly"));
        doctor.check(Id::Dns, async { (names(webex.endpoints()).await, Some(())) }).await;
        if doctor.blocked(Id::Connection).is_some() {
            return;
        }
        let (outcome, took) = connect(transport, url).await;
        judge(doctor, transport, url, outcome, took);
        clock(doctor, webex).await;
        return;
    };
    let (outcome, took) = connect(transport, url).await;
    if let Err(error @ (HttpError::Proxy { .. } | HttpError::ProxyAuthentication { .. })) = &outcome
    {
        let advice = match error {
            HttpError::ProxyAuthentication { .. } => "check user name and password in HTTPS_PROXY",
            _ => "check HTTPS_PROXY (or ALL_PROXY), and that the proxy lets out to this host",
        };
        doctor.add(Id::Proxy, Some(took), Finding::from(error).advised(advice));
        return;
    }
    doctor.add(Id::Proxy, Some(took), Finding::ok(format!("{proxy}, which lets out")));
    doctor.add(Id::Dns, None, Finding::ok("the proxy looks names up"));
    judge(doctor, transport, url, outcome, took);
    clock(doctor, webex).await;
}

/// Looks up the hosts that are known before the catalog.
async fn names(endpoints: &Endpoints) -> Finding {
    let first = &endpoints.u2c;
    let others = [&endpoints.webexapis, &endpoints.hydra, &endpoints.idbroker, &endpoints.region];
    let mut looked_up: Vec<&str> = Vec::new();
    let mut missing: Vec<(&str, String)> = Vec::new();
    for url in [first].into_iter().chain(others) {
        let Some(Host::Domain(host)) = url.host() else { continue };
        if looked_up.contains(&host) {
            continue;
        }
        looked_up.push(host);
        let port = url.port_or_known_default().unwrap_or_default();
        match lookup_host((host, port)).await.map(|mut found| found.next()) {
            Ok(Some(_)) => {}
            Ok(None) => missing.push((host, "it has no address".to_owned())),
            Err(error) => missing.push((host, error.to_string())),
        }
    }
    let advice = "check the name server of this network, and --cloud";
    match (missing.first(), looked_up.as_slice()) {
        (None, []) => Finding::ok("an address, nothing to look up"),
        (None, [host]) => Finding::ok(format!("{host} has an address")),
        (None, hosts) => Finding::ok(format!("{} hosts have addresses", hosts.len())),
        (Some((host, why)), _) if first.host_str() == Some(host) => {
            Finding::failed(ErrorKind::Network, &format!("{host}: {why}")).advised(advice)
        }
        (Some(_), _) => {
            let missing: Vec<_> =
                missing.iter().map(|(host, why)| format!("{host}: {why}")).collect();
            Finding::warning(missing.join("; "), advice)
        }
    }
}

type Connected = Result<Option<ServerText>, HttpError>;

async fn connect(transport: &Transport, url: &Url) -> (Connected, Duration) {
    let started = Instant::now();
    (transport.certificate_issuer(url).await, started.elapsed())
}

/// Splits what a connection came to into whether there is one, and whether it is trusted.
fn judge(
    doctor: &mut Doctor,
    transport: &Transport,
    url: &Url,
    outcome: Connected,
    took: Duration,
) {
    let host = url.host_str().unwrap_or_default();
    let (connection, tls) = match outcome {
        Ok(_) if transport.accepts_invalid_certs() => {
            let advice = "leave --insecure out and name the root certificate with --ca";
            (None, Finding::warning("not checked, as --insecure says", advice))
        }
        Ok(Some(issuer)) => (None, Finding::ok(format!("issued by \"{issuer}\""))),
        Ok(None) if url.scheme() == "http" => {
            (None, Finding::warning("there is no TLS", "use https, unless this is a sandbox"))
        }
        Ok(None) => {
            (None, Finding::ok("trusted; the certificate does not say by whom it is issued"))
        }
        Err(error @ HttpError::Certificate { .. }) => {
            let now = jiff::Timestamp::now();
            let advice = format!(
                "name the root certificate of whoever inspects connections with --ca, and check this \
                 machine's clock: it says {now:.0}"
            );
            (None, Finding::from(&error).advised(advice))
        }
        Err(error) => (Some(error), Finding::skipped(Id::Connection)),
    };
    match connection {
        None => doctor.add(Id::Connection, Some(took), Finding::ok(format!("to {host}"))),
        Some(error) => doctor.add(Id::Connection, Some(took), Finding::from(&error)),
    }
    doctor.add(Id::Tls, connection_took(&tls, took), tls);
}

/// The certificate is a part of the connection; without one it took no time.
fn connection_took(tls: &Finding, took: Duration) -> Option<Duration> {
    tls.because.is_none().then_some(took)
}

async fn clock(doctor: &mut Doctor, webex: &Webex) {
    let asking = async {
        let before = SystemTime::now();
        let told = webex.http().server_time(&webex.endpoints().u2c).await;
        // Half-way: the answer was made some time between.
        let now = before + before.elapsed().unwrap_or_default() / 2;
        let finding = match told {
            Ok(Some(cloud)) => by_clock(now, cloud),
            Ok(None) => Finding::not_done("the cloud does not tell the time"),
            Err(error) => Finding::not_done(format!("the cloud did not tell the time: {error}")),
        };
        (finding, Some(()))
    };
    doctor.check(Id::Clock, asking).await;
}

/// What it means that the clocks show these times.
fn by_clock(own: SystemTime, cloud: SystemTime) -> Finding {
    let (off, side) = match own.duration_since(cloud) {
        Ok(ahead) => (ahead, "ahead of"),
        Err(behind) => (behind.duration(), "behind"),
    };
    let detail = format!("{:.0} s {side} the cloud's", off.as_secs_f64());
    let advice = "set this machine's clock, best by a time server";
    match off {
        off if off > WRONG => {
            Finding::failed(ErrorKind::Configuration, &detail).advised(advice).going_on()
        }
        off if off > ODD => Finding::warning(detail, advice),
        _ => Finding::ok("within seconds of the cloud's"),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::finding::Verdict, *};

    #[test]
    fn a_clock_is_judged_by_how_far_it_is_off() {
        let cloud = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        for (own, verdict, says) in [
            (cloud, Verdict::Ok, "seconds"),
            (cloud + ODD, Verdict::Ok, "seconds"),
            (cloud - Duration::from_secs(31), Verdict::Warning, "31 s behind"),
            (cloud + WRONG, Verdict::Warning, "300 s ahead of"),
            (cloud + Duration::from_secs(86_400), Verdict::Failed, "86400 s ahead of"),
            (cloud - Duration::from_secs(86_400), Verdict::Failed, "86400 s behind"),
        ] {
            let finding = by_clock(own, cloud);
            assert_eq!(finding.verdict, verdict, "{}", finding.detail);
            assert!(finding.detail.contains(says), "{}", finding.detail);
        }
    }
}
