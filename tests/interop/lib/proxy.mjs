// Leads every host name to the sandbox, for programs that can be told of a proxy but not of a resolver.

import { once } from 'node:events';
import { createServer } from 'node:http';
import { connect } from 'node:net';

/** Starts a proxy that tunnels to the sandbox's port, whatever host is asked for. */
export async function startProxy(sandbox) {
  const sockets = new Set();
  const server = createServer((_request, response) => response.writeHead(405).end());
  server.on('connect', (_request, client, head) => {
    const upstream = connect(sandbox.port, '127.0.0.1', () => {
      client.write('HTTP/1.1 200 Connection established\r\n\r\n');
      upstream.write(head);
      client.pipe(upstream).pipe(client);
    });
    for (const [one, other] of [[client, upstream], [upstream, client]]) {
      sockets.add(one);
      one.on('error', () => other.destroy());
      one.on('close', () => sockets.delete(one));
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    close() {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}
