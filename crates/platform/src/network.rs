//! Ranges of internet addresses, to limit a key to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// Addresses that share their first bits, such as `10.0.0.0/8` or `2001:db8::/32`. No bit past the prefix is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IpRange {
    network: IpAddr,
    prefix: u8,
}

/// A text that is no range of addresses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no range of addresses: write 203.0.113.7, 10.0.0.0/8 or 2001:db8::/32, with no bit set after the prefix"
)]
pub struct IpRangeError(String);

impl IpRange {
    /// The part of the internet that an address lies in: enough to see that a key is used from elsewhere, too little to find a person.
    pub fn around(address: IpAddr) -> Self {
        let address = address.to_canonical();
        let prefix = if address.is_ipv4() { 16 } else { 32 };
        Self { network: masked(address, prefix), prefix }
    }

    /// Whether an address lies in it. An IPv4 address wrapped in IPv6 counts as the IPv4 address.
    pub fn contains(self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        match (self.network, address) {
            (IpAddr::V4(_), IpAddr::V4(_)) | (IpAddr::V6(_), IpAddr::V6(_)) => {
                masked(address, self.prefix) == self.network
            }
            _ => false,
        }
    }
}

/// The address with all bits past the prefix cleared.
fn masked(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & mask))
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask))
        }
    }
}

impl FromStr for IpRange {
    type Err = IpRangeError;

    fn from_str(text: &str) -> Result<Self, IpRangeError> {
        let error = || IpRangeError(text.chars().take(80).collect());
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let network: IpAddr = address.parse().map_err(|_| error())?;
        let longest = if network.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            Some(prefix) => prefix.parse().ok().filter(|bits| *bits <= longest).ok_or_else(error)?,
            None => longest,
        };
        if masked(network, prefix) == network { Ok(Self { network, prefix }) } else { Err(error()) }
    }
}

impl std::fmt::Display for IpRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.network, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_holds_what_shares_its_prefix() {
        let check = |range: &str, address: &str, expected| {
            let inside = range.parse::<IpRange>().unwrap().contains(address.parse().unwrap());
            assert_eq!(inside, expected, "{address} in {range}");
        };
        check("10.0.0.0/8", "10.200.3.4", true);
        check("10.0.0.0/8", "11.0.0.0", false);
        check("10.0.0.0/8", "::ffff:10.1.2.3", true);
        check("203.0.113.7", "203.0.113.7", true);
        check("203.0.113.7", "203.0.113.8", false);
        check("2001:db8::/32", "2001:db8:1::1", true);
        check("0.0.0.0/0", "8.8.8.8", true);
        check("0.0.0.0/0", "2001:db8::1", false);
        check("::/0", "2001:db8::1", true);
    }

    #[test]
    fn places_are_coarse() {
        let check = |address: &str, expected: &str| {
            let place = IpRange::around(address.parse().unwrap());
            assert_eq!(place.to_string(), expected);
            assert_eq!(expected.parse(), Ok(place));
        };
        check("203.0.113.7", "203.0.0.0/16");
        check("::ffff:203.0.113.7", "203.0.0.0/16");
        check("2001:db8:1:2::3", "2001:db8::/32");
    }

    #[test]
    fn sloppy_ranges_are_refused() {
        for bad in ["", "10.0.0.1/8", "10.0.0.0/33", "10.0.0.0/", "localhost", "10.0.0.0/-1", "2001:db8::/129"] {
            assert!(bad.parse::<IpRange>().is_err(), "{bad}");
        }
    }
}
