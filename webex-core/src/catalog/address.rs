//! Hosts and ports as the catalog writes them.

use url::Url;

use crate::endpoints::with_authority;

/// `host` or `host:port`, as the catalog writes it.
pub(super) fn authority(url: &Url) -> String {
    match (url.host_str().unwrap_or_default(), url.port()) {
        (host, Some(port)) => format!("{host}:{port}"),
        (host, None) => host.to_owned(),
    }
}

/// The URL on another host. Keeps the port unless the new host has one. `None` when the text is not
/// a host.
pub(super) fn with_host(url: &Url, host: &str) -> Option<Url> {
    let mut moved = with_authority(url, host)?;
    if !names_port(host) {
        moved.set_port(url.port()).ok()?;
    }
    Some(moved)
}

fn names_port(authority: &str) -> bool {
    let rest = authority.rsplit_once(']').map_or(authority, |(_, rest)| rest);
    rest.contains(':')
}

/// Whether the URL is the base or below it, segment by segment.
pub(super) fn is_below(url: &Url, base: &Url) -> bool {
    let same = url.scheme() == base.scheme()
        && url.host_str() == base.host_str()
        && url.port_or_known_default() == base.port_or_known_default();
    let path = base.path().trim_end_matches('/');
    same && url.path().strip_prefix(path).is_some_and(|it| it.is_empty() || it.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_host_keeps_the_port_unless_it_names_one() {
        let url = Url::parse("https://a.example:8443/x").unwrap();
        let moved = |host| with_host(&url, host).map(String::from);
        for (host, expected) in [
            ("b.example", Some("https://b.example:8443/x")),
            ("b.example:9443", Some("https://b.example:9443/x")),
            ("b.example:443", Some("https://b.example/x")),
            ("[::1]", Some("https://[::1]:8443/x")),
            ("[::1]:443", Some("https://[::1]/x")),
            ("b.example/evil", None),
            ("", None),
        ] {
            assert_eq!(moved(host).as_deref(), expected, "{host}");
        }
    }
}
