// Both ends of an HTTP/2 connection that has been in use for a while before it is watched.
//
// http2.js server CERTIFICATE KEY RESPONSE PREFIX
//     prints `port N`, answers each POST with the file RESPONSE, and writes what it got into
//     PREFIX/PATH; ends with its first connection.
// http2.js client CERTIFICATE PORT REQUEST PREFIX BEFORE AFTER COUNT
//     sends COUNT requests /before-N, prints `ready`, waits for a line, and sends COUNT requests
//     /after-N, with the body REQUEST, and writes what it got into PREFIX/PATH. All have the field
//     x-before: BEFORE, the later ones also x-after: AFTER.
'use strict';
const fs = require('fs');
const http2 = require('http2');

function receive(stream, path, done) {
	const parts = [];
	stream.on('data', (data) => parts.push(data));
	stream.on('end', () => {
		fs.writeFileSync(path, Buffer.concat(parts));
		done();
	});
}

function server(certificate, key, response, prefix) {
	const body = fs.readFileSync(response);
	const options = { cert: fs.readFileSync(certificate), key: fs.readFileSync(key) };
	const listener = http2.createSecureServer(options);
	listener.on('stream', (stream, headers) => {
		receive(stream, `${prefix}${headers[':path']}`, () => {
			stream.respond({ ':status': 200, 'x-served': headers['x-before'] });
			stream.end(body);
		});
	});
	listener.on('session', (session) => session.on('close', () => listener.close()));
	listener.listen(0, '127.0.0.1', () => console.log(`port ${listener.address().port}`));
}

function client(certificate, port, request, prefix, before, after, count) {
	const body = fs.readFileSync(request);
	const session = http2.connect(`https://localhost:${port}`, { ca: fs.readFileSync(certificate) });
	const post = (name, fields, number, done) => {
		if (number === Number(count)) return done();
		const path = `/${name}-${number}`;
		const stream = session.request({ ':method': 'POST', ':path': path, 'x-before': before, ...fields });
		receive(stream, `${prefix}${path}`, () => post(name, fields, number + 1, done));
		stream.end(body);
	};
	post('before', {}, 0, () => {
		// When it is answered, nothing is under way any more.
		session.ping((error) => {
			if (error) throw error;
			console.log('ready');
			process.stdin.once('data', () => {
				process.stdin.destroy();
				post('after', { 'x-after': after }, 0, () => session.close());
			});
		});
	});
}

({ server, client })[process.argv[2]](...process.argv.slice(3));
