//! Certificates of the sandbox, made at each start.
//!
//! One authority signs one leaf certificate that covers the loopback names and the Webex domains,
//! so that a client with a resolver override only has to trust one file.

use std::sync::Arc;

use jiff::{Timestamp, ToSpan, civil::Date, tz::TimeZone};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};

use crate::{error::StartError, urls::WEBEX_DOMAINS};

/// The authority's certificate in PEM, and the server side of TLS.
pub(crate) struct Tls {
    pub(crate) ca_pem: String,
    pub(crate) config: Arc<ServerConfig>,
}

impl Tls {
    /// Makes an authority and a leaf for loopback, the Webex domains and `extra_names`.
    pub(crate) fn generate(extra_names: &[String]) -> Result<Self, StartError> {
        let ca_key = KeyPair::generate()?;
        let mut ca = valid_for_a_year(CertificateParams::new(Vec::new())?);
        ca.distinguished_name = common_name("Webex sandbox authority");
        ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let ca_pem = ca.self_signed(&ca_key)?.pem();
        let issuer = Issuer::new(ca, ca_key);

        let mut names: Vec<String> =
            ["localhost", "127.0.0.1", "::1"].into_iter().map(str::to_owned).collect();
        for domain in WEBEX_DOMAINS {
            names.push(domain.to_owned());
            names.push(format!("*.{domain}"));
        }
        names.extend(extra_names.iter().cloned());
        let leaf_key = KeyPair::generate()?;
        let mut leaf = valid_for_a_year(CertificateParams::new(names)?);
        leaf.distinguished_name = common_name("Webex sandbox");
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        leaf.use_authority_key_identifier_extension = true;
        let leaf = leaf.signed_by(&leaf_key, &issuer)?;

        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(leaf_key.serialize_der()));
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], key)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self { ca_pem, config: Arc::new(config) })
    }
}

/// Valid from yesterday, for a year: some systems refuse certificates that live for more than 13 months.
fn valid_for_a_year(mut params: CertificateParams) -> CertificateParams {
    let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
    let date = |date: Date| {
        // Months and days are small positive numbers.
        let part = |part: i8| u8::try_from(part).unwrap_or(1);
        rcgen::date_time_ymd(date.year().into(), part(date.month()), part(date.day()))
    };
    params.not_before = date(today.saturating_sub(1.day()));
    params.not_after = date(today.saturating_add(1.year()));
    params
}

fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}
