//! The one HTTP client. Every client of the workspace comes from here, because a client that is built
//! before a TLS provider is installed panics.
//!
//! Proxies are taken from the environment by reqwest itself (`HTTPS_PROXY`, `NO_PROXY` …), except for
//! addresses of this machine, which no proxy can reach.

use std::net::IpAddr;
use std::time::Duration;

use reqwest::{Certificate, Client, ClientBuilder, Url, redirect};

/// How long a connection may take to come about. How long an answer may take is for the caller to say.
pub const CONNECT: Duration = Duration::from_secs(10);

/// No client can be built here. Rare: the bundled certificates were refused as well.
#[derive(Debug, thiserror::Error)]
#[error("cannot prepare an HTTP client ({0}); look at the proxy settings in the environment")]
pub struct HttpError(#[from] reqwest::Error);

/// A client for this address. Clones share its connections.
///
/// It follows no redirect: the key would go where the answer points. The system's certificates are
/// trusted, so a company's own authority works; where the system has none (a bare container), the
/// bundled ones are. For `http://` the system is not asked, so building takes no time.
///
/// # Errors
/// The proxy settings make no sense, or no certificates could be loaded.
pub fn client(url: &Url) -> Result<Client, HttpError> {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Err means that another thread was faster.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
    let builder = || match is_loopback(url) {
        true => builder().no_proxy(),
        false => builder(),
    };
    if url.scheme() == "https"
        && let Ok(client) = builder().build()
    {
        return Ok(client);
    }
    Ok(builder().tls_certs_only(bundled()).build()?)
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

/// Mozilla's list, compiled in.
fn bundled() -> impl Iterator<Item = Certificate> {
    let roots = webpki_root_certs::TLS_SERVER_ROOT_CERTS;
    roots.iter().filter_map(|root| Certificate::from_der(root).ok())
}
