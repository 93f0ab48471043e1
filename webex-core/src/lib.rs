//! Where Webex services are and how to talk to them: HTTP, catalog, WDM device, Mercury.
