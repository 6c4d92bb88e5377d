// The same as peer.py for node.
'use strict';
const fs = require('fs');
const tls = require('tls');

// Gathers exactly `wanted` bytes, saves them and goes on.
function receive(socket, wanted, path, done) {
	const parts = [];
	let got = 0;
	const finish = () => {
		fs.writeFileSync(path, Buffer.concat(parts));
		done();
	};
	if (wanted === 0) return finish();
	socket.on('data', (data) => {
		parts.push(data);
		got += data.length;
		if (got === wanted) finish();
		if (got > wanted) throw new Error(`${got - wanted} bytes too many`);
	});
}

function server(certificate, key, connections, requestLen, response, prefix) {
	const body = fs.readFileSync(response);
	let number = 0;
	let left = Number(connections);
	const options = { cert: fs.readFileSync(certificate), key: fs.readFileSync(key) };
	const listener = tls.createServer(options, (socket) => {
		const mine = number++;
		receive(socket, Number(requestLen), `${prefix}-${mine}.received`, () => socket.end(body));
		socket.on('close', () => {
			if (--left === 0) listener.close();
		});
	});
	listener.listen({ port: 0, host: '127.0.0.1', backlog: 256 }, () => console.log(`port ${listener.address().port}`));
}

function client(certificate, port, connections, request, responseLen, prefix) {
	const body = fs.readFileSync(request);
	const ca = fs.readFileSync(certificate);
	console.log('ready');
	// Reads the go-ahead, or the end of the input.
	fs.readSync(0, Buffer.alloc(1));
	for (let number = 0; number < Number(connections); number++) {
		const socket = tls.connect({ port: Number(port), host: '127.0.0.1', servername: 'localhost', ca }, () => socket.write(body));
		receive(socket, Number(responseLen), `${prefix}-${number}.received`, () => socket.end());
	}
}

({ server, client })[process.argv[2]](...process.argv.slice(3));
