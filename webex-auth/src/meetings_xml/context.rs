//! The `securityContext` of an XML API request.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};

use crate::{meetings_xml::site::SiteName, token::AccessToken};

/// The sender of an XML API request: site, user and access token.
///
/// ```
/// use webex_auth::{AccessToken, meetings_xml::SecurityContext};
///
/// let token = AccessToken::parse("abc")?;
/// let context = SecurityContext::new(&"acme.webex.com".parse()?, &token).web_ex_id("ada & bob");
/// assert_eq!(
///     context.to_xml(),
///     "<securityContext><siteName>acme</siteName><webExID>ada &amp; bob</webExID>\
///      <webExAccessToken>abc</webExAccessToken></securityContext>"
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct SecurityContext {
    site_name: SiteName,
    web_ex_id: Option<String>,
    token: AccessToken,
}

impl SecurityContext {
    /// A context for a site.
    pub fn new(site: &SiteName, token: &AccessToken) -> Self {
        Self { site_name: site.clone(), web_ex_id: None, token: token.clone() }
    }

    /// Names the Webex user.
    #[must_use]
    pub fn web_ex_id(mut self, id: impl Into<String>) -> Self {
        self.web_ex_id = Some(id.into());
        self
    }

    /// The element for `<header>`, without namespace prefix. A secret.
    pub fn to_xml(&self) -> String {
        let mut xml = String::from("<securityContext>");
        element(&mut xml, "siteName", self.site_name.as_str());
        if let Some(id) = &self.web_ex_id {
            element(&mut xml, "webExID", id);
        }
        element(&mut xml, "webExAccessToken", self.token.expose());
        xml.push_str("</securityContext>");
        xml
    }

    /// A whole request with this context and the given content of `<body>`. A secret.
    ///
    /// `body_content` is XML and is inserted unchanged.
    pub fn to_message(&self, body_content: &str) -> SecretString {
        let xml = SecretString::from(self.to_xml());
        SecretString::from(format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\
             <serv:message xmlns:serv=\"{SERVICE}\" xmlns:xsi=\"{INSTANCE}\">\
             <header>{}</header><body>{body_content}</body></serv:message>",
            xml.expose_secret(),
        ))
    }
}

/// The namespace of XML API messages.
const SERVICE: &str = "http://www.webex.com/schemas/2002/06/service";

/// The namespace of `xsi:type`, which every `bodyContent` has.
const INSTANCE: &str = "http://www.w3.org/2001/XMLSchema-instance";

impl fmt::Debug for SecurityContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecurityContext")
            .field("site_name", &self.site_name.as_str())
            .field("web_ex_id", &self.web_ex_id)
            .finish_non_exhaustive()
    }
}

fn element(xml: &mut String, name: &str, text: &str) {
    xml.extend(["<", name, ">"]);
    for c in text.chars() {
        match c {
            '&' => xml.push_str("&amp;"),
            '<' => xml.push_str("&lt;"),
            '>' => xml.push_str("&gt;"),
            '"' => xml.push_str("&quot;"),
            '\'' => xml.push_str("&apos;"),
            // A parser would otherwise turn it into a line feed.
            '\r' => xml.push_str("&#13;"),
            // XML 1.0 §2.2 does not allow the others.
            '\t' | '\n' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'.. => xml.push(c),
            _ => xml.push('\u{fffd}'),
        }
    }
    xml.extend(["</", name, ">"]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_can_break_out_of_an_element() {
        let token = AccessToken::parse("a<b>&\"c'd]]>").unwrap();
        let site = "acme".parse().unwrap();
        let xml =
            SecurityContext::new(&site, &token).web_ex_id("a</webExID>\u{0}\r\u{ffff}").to_xml();
        assert_eq!(
            xml,
            "<securityContext><siteName>acme</siteName>\
             <webExID>a&lt;/webExID&gt;\u{fffd}&#13;\u{fffd}</webExID>\
             <webExAccessToken>a&lt;b&gt;&amp;&quot;c&apos;d]]&gt;</webExAccessToken>\
             </securityContext>"
        );
    }

    #[test]
    fn debug_shows_no_secret() {
        let token = AccessToken::parse("s3cret-value").unwrap();
        let context = SecurityContext::new(&"acme".parse().unwrap(), &token);
        let text = format!("{context:?} {:?}", context.to_message("<bodyContent/>"));
        assert!(!text.contains("s3cret") && text.contains("acme"), "{text}");
    }
}
