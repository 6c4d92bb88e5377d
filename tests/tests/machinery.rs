//! The programs that the other tests watch do what those tests believe, without `ecapture`.

use e2e::curl::{Http, Transfer};
use e2e::nginx::Nginx;
use e2e::peer::{Exchange, Language, Side};
use e2e::{Payload, Scratch, digest};

#[test]
fn nginx_serves_and_stores_what_curl_wants() {
    for http in [Http::V1, Http::V2] {
        let scratch = Scratch::new();
        let nginx = Nginx::start(&scratch);
        let body = Payload::text(100_000);
        nginx.serve("down", &body);
        let got = Transfer::get(&scratch, http, &nginx, "down").finish();
        assert_eq!(digest(&got.received), digest(&body));
        assert!(got.request_head.starts_with(b"GET /down HTTP/"));
        assert!(got.response_head.starts_with(b"HTTP/"));
        let put = Transfer::put(&scratch, http, &nginx, "up", body.clone()).finish();
        assert!(put.response_head.starts_with(b"HTTP/"));
        assert_eq!(digest(&std::fs::read(nginx.files.join("up")).unwrap()), digest(&body));
        nginx.stop();
    }
}

#[test]
fn peers_of_all_languages_understand_each_other() {
    let languages = [Language::Python, Language::PythonAsync, Language::Node];
    for client in languages {
        for server in languages {
            let side = |language, len| Side { language, sends: Payload::binary(len) };
            Exchange::prepare(&Scratch::new(), &side(client, 1_000_000), &side(server, 300_000), 3)
                .run();
        }
    }
}
