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
  ecapture tls -- curl https://example.com/";

pub(crate) const INSPECT: &str = "\
EXAMPLES:
  ecapture inspect /usr/lib/x86_64-linux-gnu/libssl.so.3
  ecapture inspect /usr/bin/node --format json
  ecapture inspect 1234";

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
