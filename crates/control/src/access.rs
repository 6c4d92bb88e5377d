//! Who may ask: what is looked at before anything else of a request.
//!
//! * `Host` must be an address, `localhost`, or a name that the user gave. A page whose name was
//!   pointed at this machine afterwards (DNS rebinding) sends its own name here.
//! * `Origin`, which browsers send and programs need not, must be one that the user gave. So no page
//!   can talk to us, even one that found out the token.
//! * The token comes as `Authorization: Bearer`, or, for a WebSocket, as `?token=`: a browser's
//!   WebSocket cannot send the header. It shows in logs of what is in between; here there are none.

use crate::token::Token;
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::http::{HeaderMap, StatusCode, Uri};
use std::net::IpAddr;

/// Whom a server answers.
#[derive(Debug, Clone)]
pub struct Access {
    /// What a client must show; `None`: everybody may.
    pub token: Option<Token>,
    /// Names by which this server may be called, besides addresses and `localhost`.
    pub names: Vec<String>,
    /// Origins whose pages may talk to it.
    pub origins: Vec<String>,
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    Host,
    Origin,
    Token,
}

impl Refusal {
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::Host | Self::Origin => StatusCode::FORBIDDEN,
            Self::Token => StatusCode::UNAUTHORIZED,
        }
    }

    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Host => {
                "wrong Host: call this server by its address, or allow the name with --allow-host"
            }
            Self::Origin => "wrong Origin: allow it with --allow-origin",
            Self::Token => {
                "no token or a wrong one: send \"Authorization: Bearer TOKEN\" with the token that \
                 ecapture printed at its start, or read from --token-file"
            }
        }
    }
}

impl Access {
    pub(crate) fn check(
        &self,
        headers: &HeaderMap,
        uri: &Uri,
        token_in_query: bool,
    ) -> Result<(), Refusal> {
        if !self.knows_host(headers, uri) {
            return Err(Refusal::Host);
        }
        let origin_is_known = headers
            .get_all(ORIGIN)
            .iter()
            .all(|origin| self.origins.iter().any(|known| known.as_bytes() == origin.as_bytes()));
        if !origin_is_known {
            return Err(Refusal::Origin);
        }
        let Some(token) = &self.token else { return Ok(()) };
        let mut shown = headers
            .get_all(AUTHORIZATION)
            .iter()
            .filter_map(|value| bearer(value.as_bytes()))
            .chain(token_in_query.then(|| in_query(uri)).flatten());
        // One, and no other: what is in between might look at another than we.
        match (shown.next(), shown.next()) {
            (Some(shown), None) if token.is(shown) => Ok(()),
            _ => Err(Refusal::Token),
        }
    }

    fn knows_host(&self, headers: &HeaderMap, uri: &Uri) -> bool {
        let mut hosts = headers.get_all(HOST).iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
        let Ok(host) = host.to_str() else { return false };
        self.knows_name(host) && uri.authority().is_none_or(|named| self.knows_name(named.as_str()))
    }

    fn knows_name(&self, host: &str) -> bool {
        let name = without_port(host);
        let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
        address.unwrap_or(name).parse::<IpAddr>().is_ok()
            || name.eq_ignore_ascii_case("localhost")
            || self.names.iter().any(|known| known.eq_ignore_ascii_case(name))
    }
}

/// `host:port` or `[address]:port` without the port.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

fn bearer(value: &[u8]) -> Option<&[u8]> {
    const SCHEME: &[u8] = b"Bearer ";
    let (scheme, token) = value.split_at_checked(SCHEME.len())?;
    scheme.eq_ignore_ascii_case(SCHEME).then_some(token)
}

fn in_query(uri: &Uri) -> Option<&[u8]> {
    let mut pairs = uri.query()?.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(name, _)| *name == "token").map(|(_, token)| token.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderName;

    fn check(access: &Access, headers: &[(HeaderName, &str)], uri: &str) -> Result<(), Refusal> {
        let headers = headers.iter().map(|(name, value)| (name.clone(), value.parse().unwrap()));
        access.check(&headers.collect(), &uri.parse().unwrap(), true)
    }

    fn open() -> Access {
        Access {
            token: None,
            names: vec!["box".to_owned()],
            origins: vec!["http://gui".to_owned()],
        }
    }

    #[test]
    fn the_host_is_an_address_or_a_known_name() {
        for host in ["127.0.0.1:28256", "127.0.0.1", "[::1]:1", "[::1]", "LocalHost:9", "BOX:2"] {
            assert_eq!(check(&open(), &[(HOST, host)], "/"), Ok(()), "{host}");
        }
        for host in ["evil.example", "localhost.evil.example:80", "", "127.0.0.1.nip.io", "box2"] {
            assert_eq!(check(&open(), &[(HOST, host)], "/"), Err(Refusal::Host), "{host}");
        }
        assert_eq!(check(&open(), &[], "/"), Err(Refusal::Host));
        let two = [(HOST, "localhost"), (HOST, "evil.example")];
        let mut headers = HeaderMap::new();
        for (name, value) in two {
            headers.append(name, value.parse().unwrap());
        }
        assert_eq!(open().check(&headers, &"/".parse().unwrap(), true), Err(Refusal::Host));
    }

    #[test]
    fn a_page_needs_a_known_origin() {
        let host = (HOST, "localhost");
        assert_eq!(check(&open(), &[host.clone(), (ORIGIN, "http://gui")], "/"), Ok(()));
        for origin in ["http://evil.example", "null", "http://gui.evil.example", "http://localhost"]
        {
            let refused = check(&open(), &[host.clone(), (ORIGIN, origin)], "/");
            assert_eq!(refused, Err(Refusal::Origin), "{origin}");
        }
    }

    #[test]
    fn the_token_must_be_right_and_single() {
        let token = Token::random().unwrap();
        let shown = token.reveal().to_owned();
        let access = Access { token: Some(token), ..open() };
        let host = (HOST, "localhost");
        let header = (AUTHORIZATION, format!("bearer {shown}"));
        let header = (header.0.clone(), header.1.as_str());
        let in_query = format!("/?a=b&token={shown}");
        assert_eq!(check(&access, &[host.clone(), header.clone()], "/"), Ok(()));
        assert_eq!(check(&access, std::slice::from_ref(&host), &in_query), Ok(()));
        let both = check(&access, &[host.clone(), header], &in_query);
        assert_eq!(both, Err(Refusal::Token));
        for wrong in ["/", "/?token=", "/?token=wrong", "/?tokens=x"] {
            let refused = check(&access, std::slice::from_ref(&host), wrong);
            assert_eq!(refused, Err(Refusal::Token), "{wrong}");
        }
        let basic = format!("Basic {shown}");
        let refused = check(&access, &[host.clone(), (AUTHORIZATION, basic.as_str())], "/");
        assert_eq!(refused, Err(Refusal::Token));
        let query = in_query.parse().unwrap();
        let headers = std::iter::once((HOST, "localhost".parse().unwrap())).collect();
        assert_eq!(
            access.check(&headers, &query, false),
            Err(Refusal::Token),
            "only where allowed"
        );
    }
}
