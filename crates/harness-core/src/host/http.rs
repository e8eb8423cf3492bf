//! The one HTTP client. Every client of the workspace is made here, so that all treat redirects, certificates
//! and proxies alike, and so that no TLS provider has to be installed for the whole process.
//!
//! Proxies are the one thing in the core that comes from the environment. When a client is built, reqwest
//! reads `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` itself, and on macOS the system's settings as
//! well. Addresses of this machine never go through a proxy, because no proxy can reach them.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, ClientBuilder, Url, redirect};
use rustls::crypto::CryptoProvider;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::Verifier;
use webpki_root_certs::TLS_SERVER_ROOT_CERTS;

/// How long a connection may take to be established. How long an answer may take is for the caller to say.
pub const CONNECT: Duration = Duration::from_secs(10);

/// An HTTP client could not be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// The proxy settings, most likely: the rest of the configuration is fixed.
    #[error("cannot prepare an HTTP client ({0}); look at the proxy settings in the environment")]
    Client(#[from] reqwest::Error),
    /// TLS could not be configured.
    #[error("cannot prepare TLS for an HTTP client ({0})")]
    Tls(#[from] rustls::Error),
}

/// A client for this address. Clones share its connections.
///
/// It follows no redirect, since the key would go wherever the answer points. It trusts the system's
/// certificates, so that a company's own authority works, or the bundled ones where the system has none (a
/// bare container). For `http://` the system's certificates are not loaded, so building takes no time.
///
/// # Errors
/// The proxy settings make no sense.
pub fn client(url: &Url) -> Result<Client, HttpError> {
    let mut builder = builder().tls_backend_preconfigured(tls(url)?);
    if is_loopback(url) {
        builder = builder.no_proxy();
    }
    Ok(builder.build()?)
}

/// Whether an address is this machine's own.
pub(crate) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let name = host.trim_end_matches('.');
    match host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        Ok(address) => address.is_loopback(),
        Err(_) => name == "localhost" || name.ends_with(".localhost"),
    }
}

fn builder() -> ClientBuilder {
    Client::builder()
        .redirect(redirect::Policy::none())
        .connect_timeout(CONNECT)
        .tcp_keepalive(Duration::from_secs(60))
        .user_agent(concat!("harness/", env!("CARGO_PKG_VERSION")))
}

/// TLS with a provider of its own. With `ClientBuilder`'s own methods reqwest would take the one that is
/// installed for the process, and panic when there is none.
fn tls(url: &Url) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = ClientConfig::builder_with_provider(provider.clone());
    let certificates = versions.with_safe_default_protocol_versions()?;
    let mut tls = match system_verifier(url, provider) {
        Some(system) => certificates.dangerous().with_custom_certificate_verifier(Arc::new(system)),
        None => certificates.with_root_certificates(bundled_roots()),
    }
    .with_no_client_auth();
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(tls)
}

/// Verifies certificates as the system does; `None` where that is not needed, or the system has none.
fn system_verifier(url: &Url, provider: Arc<CryptoProvider>) -> Option<Verifier> {
    if url.scheme() != "https" {
        return None;
    }
    Verifier::new(provider).ok()
}

/// Mozilla's list, compiled in.
fn bundled_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(TLS_SERVER_ROOT_CERTS.iter().cloned());
    roots
}
