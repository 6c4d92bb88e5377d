//! What is printed, where, and when it ends.

mod end;
mod json;
mod terminal;
mod text;

use e2e::curl::{Http, curl};
use e2e::nginx::Nginx;
use e2e::process::run;

/// A request by HTTP/1.1, or several on one connection; gives the client's process.
pub(super) fn request(nginx: &Nginx, name: &str) -> u32 {
    let mut client = curl(Http::V1, &nginx.certificate.certificate);
    run(client.args(["--output", "/dev/null"]).arg(nginx.url(name))).success().pid
}
