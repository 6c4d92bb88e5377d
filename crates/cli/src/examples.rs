//! The examples at the end of each command's help.

pub(crate) const ROOT: &str = "\
EXAMPLES:
  ecapture tls                      what all TLS libraries on this machine see
  ecapture tls -- curl https://a.b  one program, from its first byte on
  ecapture inspect /usr/bin/curl    the TLS libraries of a program
  ecapture doctor                   what works on this machine";

pub(crate) const TLS: &str = "\
EXAMPLES:
  ecapture tls
  ecapture tls --pid 1234,1235 --hex
  ecapture tls --uid www-data --tsize 2000
  ecapture tls --format json --output events.json --duration 10s
  ecapture tls --libssl /opt/app/lib/libssl.so.3 --libssl /usr/bin/node
  ecapture tls --no-parse --format json --strict --summary balance.json
  ecapture tls --har exchanges.har --output /dev/null
  ecapture tls --eventaddr tls://collector:6514?format=json --logaddr ecapture.log
  ecapture tls --eventaddr events.json?format=json --event-rotate-size 100 --event-keep 10
  ecapture tls -m keylog -k keys.log
  ecapture tls -m pcap -w all.pcapng -i eth0 tcp port 443
  ecapture tls -m pcap -w - --pid 1234 | wireshark -k -i -
  ecapture tls -- curl https://example.com/";

pub(crate) const GOTLS: &str = "\
EXAMPLES:
  ecapture gotls
  ecapture gotls --elfpath /usr/bin/caddy --format json
  ecapture gotls -m keylog,text -k keys.log
  ecapture gotls -m pcap -w go.pcapng tcp port 443";

pub(crate) const GNUTLS: &str = "\
EXAMPLES:
  ecapture gnutls
  ecapture gnutls -m keylog -k keys.log
  ecapture gnutls -- wget -qO- https://example.com/";

pub(crate) const NSPR: &str = "\
EXAMPLES:
  ecapture nspr
  ecapture nspr --pid 1234 --format json";

pub(crate) const BASH: &str = "\
EXAMPLES:
  ecapture bash
  ecapture bash --uid alice --format json
  ecapture bash --errnumber 127";

pub(crate) const ZSH: &str = "\
EXAMPLES:
  ecapture zsh
  ecapture zsh --errnumber 1";

pub(crate) const MYSQLD: &str = "\
EXAMPLES:
  ecapture mysqld
  ecapture mysqld --mysqld /usr/sbin/mariadbd --format json";

pub(crate) const POSTGRES: &str = "\
EXAMPLES:
  ecapture postgres
  ecapture postgres --postgres /usr/lib/postgresql/15/bin/postgres";

pub(crate) const INSPECT: &str = "\
EXAMPLES:
  ecapture inspect /usr/lib/x86_64-linux-gnu/libssl.so.3
  ecapture inspect /usr/bin/node --format json
  ecapture inspect 1234";

pub(crate) const CONVERT: &str = "\
EXAMPLES:
  ecapture convert events.json --to har -o exchanges.har
  ecapture convert events.pb.zst --to text --hex
  ecapture convert --from protobuf - --to json < events.pb";

pub(crate) const DOCTOR: &str = "\
EXAMPLES:
  ecapture doctor
  ecapture doctor --btf 2";

pub(crate) const COMPLETION: &str = "\
EXAMPLES:
  ecapture completion bash > /etc/bash_completion.d/ecapture
  ecapture completion zsh > /usr/local/share/zsh/site-functions/_ecapture
  ecapture completion fish > ~/.config/fish/completions/ecapture.fish";

pub(crate) const MAN: &str = "\
EXAMPLES:
  ecapture man /usr/local/share/man/man1";
