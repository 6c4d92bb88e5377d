//! One exchange, in the words of HAR. Fields that begin with `_` are ours, as the format allows.

use crate::time::Clock;
use data_encoding::BASE64;
use event::{
    BodyCoding, Direction, Field, HttpMessage, Record, RequestLine, StatusLine, Timestamp,
    WebSocketMessage, WebSocketMessageKind,
};
use serde::Serialize;
use serde::ser::{SerializeMap as _, Serializer};

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) request: Option<Request>,
    pub(super) response: Option<Response>,
    pub(super) web_socket: Option<Vec<WebSocketFrame>>,
    pub(super) comment: Option<&'static str>,
    began: Timestamp,
    connection: u64,
    server_ip: Option<String>,
    pid: u32,
    comm: String,
}

#[derive(Debug)]
pub(super) struct Request {
    began: Timestamp,
    ended: Timestamp,
    method: String,
    url: String,
    version: &'static str,
    headers: Vec<Pair>,
    body: Body,
}

#[derive(Debug)]
pub(super) struct Response {
    began: Timestamp,
    ended: Timestamp,
    status: u16,
    reason: String,
    version: &'static str,
    headers: Vec<Pair>,
    body: Body,
}

#[derive(Debug, Clone, Serialize)]
struct Pair {
    name: String,
    value: String,
}

#[derive(Debug, Default)]
pub(super) struct Body {
    bytes: Vec<u8>,
    /// Its length as transferred, if known.
    encoded_len: Option<u64>,
    decoded: bool,
    note: Option<&'static str>,
}

/// In the form that Chromium's network panel reads and writes.
#[derive(Debug, Serialize)]
pub(super) struct WebSocketFrame {
    #[serde(rename = "type")]
    direction: &'static str,
    /// Seconds since the epoch.
    time: f64,
    opcode: u8,
    data: String,
}

impl Entry {
    pub(super) fn new(record: &Record<'_>) -> Self {
        let conn = record.conn;
        Self {
            request: None,
            response: None,
            web_socket: None,
            comment: None,
            began: record.ts,
            connection: conn.id.0,
            server_ip: None,
            pid: conn.pid,
            comm: conn.comm.to_string(),
        }
        .with_server(record)
    }

    /// The server is the one that gets requests.
    fn with_server(mut self, record: &Record<'_>) -> Self {
        let request = matches!(
            &record.content,
            event::Content::Http(HttpMessage { start: event::Start::Request(_), .. })
        );
        let local_is_server = request == (record.dir == Direction::Recv);
        let server = if local_is_server { record.conn.local } else { record.conn.remote };
        self.server_ip = server.map(|address| address.ip().to_string());
        self
    }

    /// The body that a part belongs to; the part came at `ts`.
    pub(super) fn body(&mut self, of_request: bool, ts: Timestamp) -> Option<&mut Body> {
        if of_request {
            self.request.as_mut().map(|request| {
                request.ended = request.ended.max(ts);
                &mut request.body
            })
        } else {
            self.response.as_mut().map(|response| {
                response.ended = response.ended.max(ts);
                &mut response.body
            })
        }
    }

    /// Bytes of bodies.
    pub(super) fn held(&self) -> usize {
        self.request.as_ref().map_or(0, |request| request.body.held())
            + self.response.as_ref().map_or(0, |response| response.body.held())
            + self.web_socket.iter().flatten().map(|frame| frame.data.len()).sum::<usize>()
    }
}

impl Request {
    pub(super) fn new(
        record: &Record<'_>,
        message: &HttpMessage<'_>,
        line: &RequestLine<'_>,
        body: Body,
    ) -> Self {
        Self {
            began: record.ts,
            ended: message.ended,
            method: lossy(&line.method),
            url: url(record, line),
            version: message.version.as_str(),
            headers: pairs(message.headers),
            body,
        }
    }
}

impl Response {
    pub(super) fn new(
        record: &Record<'_>,
        message: &HttpMessage<'_>,
        line: &StatusLine<'_>,
        body: Body,
    ) -> Self {
        Self {
            began: record.ts,
            ended: message.ended,
            status: line.status,
            reason: lossy(&line.reason),
            version: message.version.as_str(),
            headers: pairs(message.headers),
            body,
        }
    }
}

impl Body {
    /// The body as far as it is in the message itself.
    pub(super) fn new(message: &HttpMessage<'_>, limit: usize) -> Self {
        let mut body = Self::default();
        body.coding(&message.coding);
        body.push(&message.body, limit);
        body.encoded_len = Some(message.encoded_len);
        body
    }

    pub(super) fn held(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn push(&mut self, bytes: &[u8], limit: usize) {
        let room = limit.saturating_sub(self.bytes.len());
        if bytes.len() > room {
            self.note("cut: the body is too large for this file");
        }
        self.bytes.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.encoded_len =
            self.encoded_len.filter(|_| !self.decoded).map(|len| len + bytes.len() as u64);
    }

    pub(super) fn coding(&mut self, coding: &BodyCoding) {
        match coding {
            BodyCoding::Identity => {}
            BodyCoding::Decoded(_) => self.decoded = true,
            BodyCoding::Encoded(_, why) => self.note(why),
        }
    }

    pub(super) fn note(&mut self, note: &'static str) {
        self.note.get_or_insert(note);
    }

    /// Its length as transferred; -1 if unknown.
    fn size(&self) -> i64 {
        self.encoded_len.map_or(-1, |len| i64::try_from(len).unwrap_or(i64::MAX))
    }

    /// As text, or else in base64.
    fn text(&self) -> (String, bool) {
        match std::str::from_utf8(&self.bytes) {
            Ok(text) => (text.to_owned(), false),
            Err(_) => (BASE64.encode(&self.bytes), true),
        }
    }
}

impl WebSocketFrame {
    pub(super) fn new(record: &Record<'_>, message: &WebSocketMessage<'_>) -> Self {
        let (data, _) = Body { bytes: message.payload.to_vec(), ..Body::default() }.text();
        Self {
            direction: match record.dir {
                Direction::Send => "send",
                Direction::Recv => "receive",
            },
            time: record.ts.0 as f64 / 1e9,
            opcode: match message.kind {
                WebSocketMessageKind::Text => 1,
                WebSocketMessageKind::Binary => 2,
                WebSocketMessageKind::Close => 8,
                WebSocketMessageKind::Ping => 9,
                WebSocketMessageKind::Pong => 10,
            },
            data,
        }
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn pairs(fields: &[Field<'_>]) -> Vec<Pair> {
    fields
        .iter()
        .map(|field| Pair { name: lossy(&field.name), value: lossy(&field.value) })
        .collect()
}

fn header<'a>(headers: &'a [Pair], name: &'a str) -> impl Iterator<Item = &'a str> {
    headers
        .iter()
        .filter(move |header| header.name.eq_ignore_ascii_case(name))
        .map(|header| header.value.as_str())
}

/// The absolute URL: all that is captured is TLS.
fn url(record: &Record<'_>, line: &RequestLine<'_>) -> String {
    let target = lossy(&line.target);
    if target.starts_with("http://") || target.starts_with("https://") {
        return target;
    }
    let authority = if let Some(authority) = &line.authority {
        lossy(authority)
    } else {
        let server = match record.dir {
            Direction::Send => record.conn.remote,
            Direction::Recv => record.conn.local,
        };
        server.map_or_else(|| "unknown".to_owned(), |address| address.to_string())
    };
    // CONNECT has an authority for a target, OPTIONS may have a star.
    if target.starts_with('/') {
        format!("https://{authority}{target}")
    } else {
        format!("https://{authority}/")
    }
}

/// What stands after `?`, as it was sent.
fn query(url: &str) -> Vec<Pair> {
    let Some((_, query)) = url.split_once('?') else { return Vec::new() };
    let query = query.split('#').next().unwrap_or_default();
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| split_pair(pair, '=')).collect()
}

fn split_pair(text: &str, at: char) -> Pair {
    let (name, value) = text.split_once(at).unwrap_or((text, ""));
    Pair { name: name.trim().to_owned(), value: value.trim().to_owned() }
}

fn cookies(headers: &[Pair]) -> Vec<Pair> {
    header(headers, "cookie")
        .flat_map(|value| value.split(';'))
        .filter(|cookie| !cookie.trim().is_empty())
        .map(|cookie| split_pair(cookie, '='))
        .collect()
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SetCookie {
    name: String,
    value: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    domain: Option<String>,
    http_only: bool,
    secure: bool,
}

fn set_cookies(headers: &[Pair]) -> Vec<SetCookie> {
    header(headers, "set-cookie")
        .map(|value| {
            let mut parts = value.split(';');
            let Pair { name, value } = split_pair(parts.next().unwrap_or_default(), '=');
            let attributes: Vec<Pair> = parts.map(|part| split_pair(part, '=')).collect();
            let find = |wanted: &str| {
                attributes.iter().find(|attribute| attribute.name.eq_ignore_ascii_case(wanted))
            };
            SetCookie {
                name,
                value,
                path: find("path").map(|path| path.value.clone()),
                domain: find("domain").map(|domain| domain.value.clone()),
                http_only: find("httponly").is_some(),
                secure: find("secure").is_some(),
            }
        })
        .collect()
}

/// Milliseconds from one to the other.
fn millis(from: Timestamp, to: Timestamp) -> f64 {
    to.since(from).as_secs_f64() * 1e3
}

impl Serialize for Entry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let began = self.request.as_ref().map_or(self.began, |request| request.began);
        let sent = self.request.as_ref().map_or(began, |request| request.ended);
        let (answered, ended) = self
            .response
            .as_ref()
            .map_or((sent, sent), |response| (response.began, response.ended));
        let sending = millis(began, sent);
        let (waiting, receiving) = (millis(sent, answered), millis(answered, ended));
        let mut time = Vec::new();
        Clock::new().write(began, &mut time);

        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("startedDateTime", &String::from_utf8_lossy(&time))?;
        map.serialize_entry("time", &(sending + waiting + receiving))?;
        map.serialize_entry("request", &self.request.as_ref().map_or_else(no_request, request))?;
        let body = &Body::default();
        map.serialize_entry(
            "response",
            &self.response.as_ref().map_or_else(|| no_response(body), response),
        )?;
        map.serialize_entry("cache", &serde_json::json!({}))?;
        map.serialize_entry(
            "timings",
            &serde_json::json!({
                "blocked": -1, "dns": -1, "connect": -1, "ssl": -1,
                "send": sending, "wait": waiting, "receive": receiving,
            }),
        )?;
        if let Some(ip) = &self.server_ip {
            map.serialize_entry("serverIPAddress", ip)?;
        }
        map.serialize_entry("connection", &self.connection.to_string())?;
        map.serialize_entry("_pid", &self.pid)?;
        map.serialize_entry("_comm", &self.comm)?;
        if let Some(frames) = &self.web_socket {
            map.serialize_entry("_resourceType", "websocket")?;
            map.serialize_entry("_webSocketMessages", frames)?;
        }
        let missing = match (&self.request, &self.response) {
            (None, _) => Some("the request was not seen"),
            (_, None) => Some("no response was seen"),
            _ => None,
        };
        let notes: Vec<&str> = [
            self.comment,
            missing,
            self.request.as_ref().and_then(|request| request.body.note),
            self.response.as_ref().and_then(|response| response.body.note),
        ]
        .into_iter()
        .flatten()
        .collect();
        if !notes.is_empty() {
            map.serialize_entry("comment", &notes.join("; "))?;
        }
        map.end()
    }
}

fn request(request: &Request) -> serde_json::Value {
    let Request { method, url, version, headers, body, .. } = request;
    let mut value = serde_json::json!({
        "method": method,
        "url": url,
        "httpVersion": version,
        "cookies": cookies(headers),
        "headers": headers,
        "queryString": query(url),
        "headersSize": -1,
        "bodySize": body.size(),
    });
    if !body.bytes.is_empty() {
        let (text, is_base64) = body.text();
        let mime = header(headers, "content-type").next().unwrap_or("application/octet-stream");
        value["postData"] = serde_json::json!({ "mimeType": mime, "params": [], "text": text });
        if is_base64 {
            value["postData"]["_encoding"] = "base64".into();
        }
    }
    value
}

fn no_request() -> serde_json::Value {
    serde_json::json!({
        "method": "", "url": "", "httpVersion": "", "cookies": [], "headers": [],
        "queryString": [], "headersSize": -1, "bodySize": -1,
    })
}

fn response(response: &Response) -> serde_json::Value {
    let Response { status, reason, version, headers, body, .. } = response;
    let redirect = header(headers, "location").next().unwrap_or_default();
    serde_json::json!({
        "status": status,
        "statusText": reason,
        "httpVersion": version,
        "cookies": set_cookies(headers),
        "headers": headers,
        "content": content(body, header(headers, "content-type").next()),
        "redirectURL": redirect,
        "headersSize": -1,
        "bodySize": body.size(),
    })
}

fn content(body: &Body, mime: Option<&str>) -> serde_json::Value {
    let (text, is_base64) = body.text();
    let mut content = serde_json::json!({
        "size": body.bytes.len(),
        "mimeType": mime.unwrap_or("x-unknown"),
        "text": text,
    });
    if is_base64 {
        content["encoding"] = "base64".into();
    }
    if body.decoded && body.encoded_len.is_some() {
        let len = i64::try_from(body.bytes.len()).unwrap_or(i64::MAX);
        content["compression"] = len.saturating_sub(body.size()).into();
    }
    content
}

fn no_response(body: &Body) -> serde_json::Value {
    serde_json::json!({
        "status": 0, "statusText": "", "httpVersion": "", "cookies": [], "headers": [],
        "content": content(body, None), "redirectURL": "", "headersSize": -1, "bodySize": -1,
    })
}
