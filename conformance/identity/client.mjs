// A client that nobody here wrote: npm `oauth4webapi` gets tokens and calls the gateway with them, driven by lines on stdin.
//
//   {"do":"key"}                                  its public key, for the server's register: {"public_key","alg"}
//   {"do":"discover","issuer"}                    reads the server's metadata
//   {"do":"token","client_id","resource","proof"} client credentials, authenticated by private_key_jwt: {"access_token","token_type"}
//   {"do":"revoke","client_id","token"}
//   {"do":"resource","url"}                       the metadata of a protected resource (RFC 9728)
//   {"do":"call","url","token","proof"}           a request as the library makes it: {"status","challenges","body","sent","tries"}
//   {"do":"send","url","headers"}                 a request with these very headers: the same without "sent" and "tries"
//
// `proof` names a DPoP key's algorithm; each has one key, made on first use. Needs NODE_EXTRA_CA_CERTS. It ends with its input.
import { createPublicKey } from 'node:crypto';
import * as oauth from 'oauth4webapi';
import { serve } from './lines.mjs';

const ALG = 'ES256';
const own = await oauth.generateKeyPair(ALG, { extractable: true });
const proofs = new Map();
let server;

async function publicKey() {
  const der = Buffer.from(await crypto.subtle.exportKey('spki', own.publicKey));
  const key = createPublicKey({ key: der, format: 'der', type: 'spki' });
  return { public_key: key.export({ format: 'pem', type: 'spki' }), alg: ALG };
}

/** The library's holder of a DPoP key, which also keeps the nonces that it is given. */
async function proof(alg) {
  if (alg && !proofs.has(alg)) proofs.set(alg, oauth.DPoP({}, await oauth.generateKeyPair(alg)));
  return alg ? proofs.get(alg) : undefined;
}

async function discover(issuer) {
  const url = new URL(issuer);
  server = await oauth.processDiscoveryResponse(url, await oauth.discoveryRequest(url));
  return { token_endpoint: server.token_endpoint };
}

async function token({ client_id, resource, proof: alg }) {
  const client = { client_id };
  const parameters = { scope: 'read', ...(resource ? { resource } : {}) };
  const auth = oauth.PrivateKeyJwt(own.privateKey);
  const options = { DPoP: await proof(alg) };
  const answer = await oauth.clientCredentialsGrantRequest(server, client, auth, parameters, options);
  return oauth.processClientCredentialsResponse(server, client, answer);
}

async function revoke({ client_id, token: value }) {
  const answer = await oauth.revocationRequest(server, { client_id }, oauth.PrivateKeyJwt(own.privateKey), value);
  await oauth.processRevocationResponse(answer);
  return {};
}

async function resource(url) {
  const asked = new URL(url);
  return oauth.processResourceDiscoveryResponse(asked, await oauth.resourceDiscoveryRequest(asked));
}

async function told(response, challenges) {
  return { status: response.status, challenges: challenges ?? [], body: await response.text() };
}

/** One try; a challenge is an error to the library, and an answer to the test. */
async function request(url, value, options) {
  try {
    return [await oauth.protectedResourceRequest(value, 'GET', url, undefined, undefined, options)];
  } catch (error) {
    if (!(error instanceof oauth.WWWAuthenticateChallengeError)) throw error;
    return [error.response, error];
  }
}

async function call({ url, token: value, proof: alg }) {
  let sent;
  const options = {
    DPoP: await proof(alg),
    [oauth.customFetch]: (to, init) => {
      sent = init.headers;
      return fetch(to, init);
    },
  };
  let tries = 1;
  let [response, error] = await request(new URL(url), value, options);
  // As the library's documentation has it: it has kept the nonce, the request is made once more.
  if (error && oauth.isDPoPNonceError(error)) {
    tries += 1;
    [response, error] = await request(new URL(url), value, options);
  }
  return { ...(await told(response, error?.cause)), sent, tries };
}

async function send({ url, headers }) {
  const response = await fetch(url, { headers });
  return told(response, response.headers.get('www-authenticate'));
}

await serve(async (asked) => {
  switch (asked.do) {
    case 'key':
      return publicKey();
    case 'discover':
      return discover(asked.issuer);
    case 'token':
      return token(asked);
    case 'revoke':
      return revoke(asked);
    case 'resource':
      return resource(asked.url);
    case 'call':
      return call(asked);
    case 'send':
      return send(asked);
    default:
      throw new Error(`nobody knows how to ${asked.do}`);
  }
});
