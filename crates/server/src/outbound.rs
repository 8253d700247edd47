//! The only place that opens connections to the outside: webhooks, and pictures that requests name by address. No redirects, no proxy
//! from the environment, and unless the owner allows it no address inside the owner's network.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use reqwest::{Client, Url};

use crate::app::{FetchError, Outbound, Outgoing};

/// How long a webhook's receiver has to answer.
const POST_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a picture may take.
const GET_TIMEOUT: Duration = Duration::from_secs(20);

/// Speaks HTTP to the outside.
#[derive(Clone, Debug)]
pub struct HttpOutbound {
    client: Client,
    reach: Reach,
}

/// Which addresses may be spoken to.
#[derive(Clone, Copy, Debug)]
struct Reach {
    private: bool,
}

/// The HTTP client could not be made, for want of root certificates for instance.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client could not be made")]
pub struct OutboundError(#[source] reqwest::Error);

impl HttpOutbound {
    /// A client. `private` lets it speak to private addresses over https; loopback over http it may always, for webhooks.
    ///
    /// # Errors
    /// [`OutboundError`].
    pub fn new(private: bool) -> Result<Self, OutboundError> {
        // `reqwest` leaves the choice of cryptography to the process. A choice that was made before stays.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let reach = Reach { private };
        let client = Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .dns_resolver(reach)
            .connect_timeout(POST_TIMEOUT)
            .pool_max_idle_per_host(1)
            .user_agent(concat!("Misora/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(OutboundError)?;
        Ok(Self { client, reach })
    }

    async fn post(&self, request: &Outgoing) -> Result<u16, FetchError> {
        let url = parse(&request.url)?;
        self.reach.check_webhook(&url)?;
        let sent = self
            .client
            .post(url)
            .timeout(POST_TIMEOUT)
            .header("content-type", "application/json")
            .header("webhook-id", &request.id)
            .header("webhook-timestamp", request.timestamp.to_string())
            .header("webhook-signature", &request.signature)
            .body(request.body.clone())
            .send();
        Ok(sent.await.map_err(unanswered)?.status().as_u16())
    }

    async fn get(&self, url: &str, max_bytes: usize) -> Result<Bytes, FetchError> {
        let url = parse(url)?;
        self.reach.check_picture(&url)?;
        let mut response = self.client.get(url).timeout(GET_TIMEOUT).send().await.map_err(unanswered)?;
        if !response.status().is_success() {
            return Err(FetchError(format!("the address answered with status {}", response.status().as_u16())));
        }
        let mut bytes = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(unanswered)? {
            if bytes.len() + chunk.len() > max_bytes {
                return Err(FetchError(format!("the address answered with more than {max_bytes} bytes")));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes.freeze())
    }
}

impl Outbound for HttpOutbound {
    fn post<'a>(&'a self, request: &'a Outgoing) -> BoxFuture<'a, Result<u16, FetchError>> {
        Box::pin(self.post(request))
    }

    fn bucket_client(&self, endpoint: Option<&str>) -> Result<Client, FetchError> {
        if let Some(endpoint) = endpoint {
            self.reach.check_bucket(&parse(endpoint)?)?;
        }
        Ok(self.client.clone())
    }

    fn get<'a>(&'a self, url: &'a str, max_bytes: usize) -> BoxFuture<'a, Result<Bytes, FetchError>> {
        Box::pin(self.get(url, max_bytes))
    }
}

fn parse(url: &str) -> Result<Url, FetchError> {
    Url::parse(url).map_err(|_| FetchError("this is no address".into()))
}

/// Says what happened without saying where, which is in the request already.
fn unanswered(error: reqwest::Error) -> FetchError {
    FetchError(
        if error.is_timeout() {
            "the address did not answer in time"
        } else if error.is_connect() {
            "no connection to the address could be made"
        } else {
            "the address did not answer properly"
        }
        .into(),
    )
}

impl Reach {
    /// https anywhere within reach, or http on this machine.
    fn check_webhook(self, url: &Url) -> Result<(), FetchError> {
        match (url.scheme(), host_address(url)) {
            ("http", Host::Localhost) => Ok(()),
            ("http", Host::Address(address)) if address.is_loopback() => Ok(()),
            ("http", _) => Err(FetchError("webhooks go to https addresses, or to http on this machine".into())),
            ("https", host) => self.check_host(host),
            _ => Err(FetchError("webhooks go to https addresses".into())),
        }
    }

    /// http or https, within reach.
    fn check_picture(self, url: &Url) -> Result<(), FetchError> {
        match (url.scheme(), host_address(url)) {
            (_, Host::Localhost) => Err(out_of_reach()),
            ("http" | "https", host) => self.check_host(host),
            _ => Err(FetchError("pictures are fetched over http or https".into())),
        }
    }

    /// https within reach, and never this machine: what is written there is not for it.
    fn check_bucket(self, url: &Url) -> Result<(), FetchError> {
        match (url.scheme(), host_address(url)) {
            (_, Host::Localhost) => Err(out_of_reach()),
            ("https", host) => self.check_host(host),
            _ => Err(FetchError("this is spoken to over https".into())),
        }
    }

    fn check_host(self, host: Host) -> Result<(), FetchError> {
        match host {
            Host::Address(address) if !self.allows(address) => Err(out_of_reach()),
            Host::Missing => Err(FetchError("the address names no host".into())),
            // What a name stands for is looked at when it is resolved.
            _ => Ok(()),
        }
    }

    fn allows(self, address: IpAddr) -> bool {
        self.private || is_public(address)
    }
}

fn out_of_reach() -> FetchError {
    FetchError("the address is inside this server's own network".into())
}

enum Host {
    Localhost,
    Name,
    Address(IpAddr),
    Missing,
}

fn host_address(url: &Url) -> Host {
    let Some(host) = url.host_str() else { return Host::Missing };
    match host.trim_start_matches('[').trim_end_matches(']').parse() {
        Ok(address) => Host::Address(address),
        Err(_) if host.eq_ignore_ascii_case("localhost") => Host::Localhost,
        Err(_) => Host::Name,
    }
}

impl Resolve for Reach {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = *self;
        Box::pin(async move {
            let local = name.as_str().eq_ignore_ascii_case("localhost");
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let fits = |address: &SocketAddr| match local {
                true => address.ip().is_loopback(),
                false => reach.allows(address.ip()),
            };
            let addresses: Vec<_> = found.filter(fits).collect();
            if addresses.is_empty() {
                return Err(out_of_reach().into());
            }
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

/// Whether an address belongs to the public Internet.
///
/// Source: IANA's special-purpose address registries (RFC 6890), as of 2026.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = a == 0
        || a == 10
        || a == 127
        || a >= 224
        || matches!((a, b), (100, 64..=127) | (169, 254) | (172, 16..=31) | (192, 168) | (198, 18..=19))
        || matches!((a, b, c), (192, 0, 0 | 2) | (198, 51, 100) | (203, 0, 113));
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    let [first, second, ..] = segments;
    let embedded = |high: u16, low: u16| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    if let Some(address) = address.to_ipv4_mapped() {
        return is_public_v4(address);
    }
    match (first, second) {
        // NAT64 and 6to4 carry an address of the other kind.
        (0x64, 0xff9b) => is_public_v4(embedded(segments[6], segments[7])),
        (0x2002, _) => is_public_v4(embedded(second, segments[2])),
        (0x2001, 0 | 0xdb8) => false,
        _ => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn webhooks_reach_the_public_and_this_machine() {
        let check = |url, private, expected: bool| {
            let outcome = Reach { private }.check_webhook(&Url::parse(url).unwrap());
            assert_eq!(outcome.is_ok(), expected, "{url}: {outcome:?}");
        };
        check("https://example.org/hook", false, true);
        check("http://example.org/hook", true, false);
        check("http://127.0.0.1:9/hook", false, true);
        check("http://[::1]:9/hook", false, true);
        check("http://localhost/hook", false, true);
        check("https://10.1.2.3/hook", false, false);
        check("https://10.1.2.3/hook", true, true);
        check("https://[fd00::1]/hook", false, false);
        check("https://[::ffff:10.0.0.1]/hook", false, false);
        check("https://169.254.169.254/", false, false);
        check("ftp://example.org/", true, false);
        // Other spellings of 127.0.0.1, which the parser of addresses sees through.
        check("https://0x7f.1/", false, false);
        check("https://2130706433/", false, false);
    }

    #[test]
    fn pictures_come_from_the_public_alone() {
        let check = |url, expected: bool| {
            assert_eq!(Reach { private: false }.check_picture(&Url::parse(url).unwrap()).is_ok(), expected, "{url}");
        };
        check("http://example.org/a.png", true);
        check("http://127.0.0.1/a.png", false);
        check("http://localhost/a.png", false);
        check("https://192.168.0.1/a.png", false);
        check("https://8.8.8.8/a.png", true);
        check("https://[2606:4700::1]/a.png", true);
        check("https://[64:ff9b::a00:1]/a.png", false);
        check("file:///etc/passwd", false);
    }
}
