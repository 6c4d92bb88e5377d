#!/bin/bash
# crates/packet/tests/data/record.sh
#
# Records exchanges.pcap and exchanges.keys anew: real programs over loopback, one port per kind of
# exchange (see the table in ../decrypt.rs). Needs root, tcpdump, nginx, curl, openssl, and a
# python3 with aioquic (PYTHON=... names another one).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-python3}
work=$(mktemp -d)
keys=$work/keys
running=()
trap 'kill "${running[@]}" 2>/dev/null || true; rm -rf "$work"' EXIT
cd "$work"

# The body of every exchange: lines that name their place.
seq -f 'line %g of the body' 1 150 >body
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 \
	-subj /CN=localhost -addext subjectAltName=DNS:localhost -keyout key.pem -out cert.pem 2>/dev/null

tcpdump -i lo -w exchanges.pcap --time-stamp-precision=nano -s 0 -U 'portrange 46000-46020' 2>tcpdump.log &
running+=($!)
until grep -q listening tcpdump.log; do sleep 0.01; done

wait_for() { until curl -s "telnet://127.0.0.1:$1" </dev/null >/dev/null; do sleep 0.01; done; }

cat >nginx.conf <<END
daemon off; master_process off; pid $work/nginx.pid; error_log stderr;
events {}
http {
	access_log off; client_body_temp_path $work/t1; proxy_temp_path $work/t2;
	fastcgi_temp_path $work/t3; uwsgi_temp_path $work/t4; scgi_temp_path $work/t5;
	ssl_certificate cert.pem; ssl_certificate_key key.pem;
	server { listen 127.0.0.1:46000 ssl; ssl_protocols TLSv1.3; root $work; dav_methods PUT; }
	server { listen 127.0.0.1:46001 ssl; ssl_protocols TLSv1.2; root $work; dav_methods PUT; }
	server { listen 127.0.0.1:46002 ssl http2; ssl_protocols TLSv1.3; root $work; dav_methods PUT; }
	server { listen [::1]:46003 ssl http2; ssl_protocols TLSv1.2; root $work; }
}
END
nginx -p "$work" -c nginx.conf 2>nginx.log &
running+=($!)
until [ -s nginx.pid ]; do sleep 0.01; done
request() { SSLKEYLOGFILE=$keys curl -sSk --fail -o got "$@" && cmp got body; }
request --http1.1 https://127.0.0.1:46000/body
SSLKEYLOGFILE=$keys curl -sSk --http1.1 -T body https://127.0.0.1:46000/uploaded
request --http1.1 https://127.0.0.1:46001/body
request --http2 https://127.0.0.1:46002/body
request --http2 'https://[::1]:46003/body'

# Runs a server that answers requests for files, and a client that asks for the body.
exchange() {
	local port=$1 server=$2
	shift 2
	# shellcheck disable=SC2086
	openssl s_server -accept "127.0.0.1:$port" -cert cert.pem -key key.pem -quiet -WWW $server 2>server.log &
	local pid=$!
	running+=($pid)
	until ss -Hltn "sport = :$port" | grep -q .; do sleep 0.01; done
	for arguments; do
		# shellcheck disable=SC2086
		printf 'GET /body HTTP/1.0\r\n\r\n' |
			openssl s_client -connect "127.0.0.1:$port" -keylogfile "$keys" -ign_eof -quiet $arguments \
				2>/dev/null | sed '1,/^\r$/d' >got
		cmp got body
	done
	kill $pid
}
exchange 46004 '-tls1_3' '-sess_out session13' '-sess_in session13'
exchange 46005 '-tls1_2' '-sess_out session12' '-sess_in session12'
exchange 46006 '-groups P-384' '-groups X25519:P-384'
exchange 46007 '-Verify 1 -CAfile cert.pem' '-cert cert.pem -key key.pem'
exchange 46008 '-tls1_3 -no_ticket -ciphersuites TLS_CHACHA20_POLY1305_SHA256' ''

# 0-RTT: a session that allows it, then data with the ClientHello.
openssl s_server -accept 127.0.0.1:46009 -cert cert.pem -key key.pem -early_data -quiet \
	-max_early_data 16384 -no_anti_replay >early.got 2>server.log < <(sleep 20) &
running+=($!)
until ss -Hltn "sport = :46009" | grep -q .; do sleep 0.01; done
(printf 'first\n'; sleep 0.3) | openssl s_client -connect 127.0.0.1:46009 -keylogfile "$keys" \
	-sess_out early -quiet -no_ign_eof >/dev/null 2>&1 || true
(sleep 0.3) | openssl s_client -connect 127.0.0.1:46009 -keylogfile "$keys" -sess_in early \
	-early_data body -quiet -no_ign_eof >/dev/null 2>&1 || true
grep -q 'line 150' early.got

# DTLS 1.2, the body sent in one direction.
openssl s_server -accept 127.0.0.1:46010 -cert cert.pem -key key.pem -dtls1_2 -quiet >dtls.got 2>server.log < <(sleep 20) &
running+=($!)
until ss -Hlun "sport = :46010" | grep -q .; do sleep 0.01; done
(head -c 1000 body; sleep 0.3) | openssl s_client -connect 127.0.0.1:46010 -keylogfile "$keys" \
	-dtls1_2 -mtu 1400 -quiet -no_ign_eof >/dev/null 2>&1 || true

SSLKEYLOGFILE= "$python" "$here/record.py" "$keys"

# What is written last must have been read by tcpdump.
until tcpdump -nr exchanges.pcap 'udp port 46020' 2>/dev/null | grep -q .; do
	echo end >/dev/udp/127.0.0.1/46020 || true
done
cp exchanges.pcap "$here/exchanges.pcap"
grep -v '^#' "$keys" | sort -u >"$here/exchanges.keys"
cp body "$here/body"
