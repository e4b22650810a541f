// An authorization server that nobody here wrote: npm `oidc-provider`, over TLS on loopback, driven by lines on stdin.
//
//   node provider.mjs CERTIFICATE.pem KEY.pem
//
//   {"do":"start","clients":[{"client_id","public_key","alg","bound","opaque","introspects"}]}
//                                           starts it: {"issuer","introspection_endpoint"}
//   {"do":"rotate","alg","keep"}            signs with a new key; keep: the old keys stay published: {"kid"}
//   {"do":"introspections"}                 how often it was asked about a token: {"count"}
//
// It ends with its input.
import { createPublicKey, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import https from 'node:https';
import { exportJWK, generateKeyPair } from 'jose';
import { Provider, errors } from 'oidc-provider';
import { serve } from './lines.mjs';

/** What tokens can be for: the gateway under test, and somebody else. */
const RESOURCES = ['https://api.example.test', 'https://other.example.test'];
const SIGNING = ['RS256', 'PS256', 'ES256', 'ES384', 'EdDSA'];
const LIFETIME_S = 600;

const [certificate, key] = process.argv.slice(2).map((path) => readFileSync(path));
// 32 bytes by the library's rule; kept over a change of keys.
const nonceSecret = randomBytes(32);
const store = new Map();
const state = { keys: [], clients: [], issuer: '', handler: undefined, kids: 0, introspections: 0 };

/** The library's storage. One for all its instances, so that opaque tokens outlive a change of keys. */
class Store {
  constructor(name) {
    this.name = name;
  }

  async upsert(id, payload, expiresIn) {
    const until = expiresIn ? Date.now() + expiresIn * 1000 : Infinity;
    store.set(`${this.name}:${id}`, { payload, until });
  }

  async find(id) {
    const entry = store.get(`${this.name}:${id}`);
    return entry && entry.until > Date.now() ? entry.payload : undefined;
  }

  async findByUserCode() {}

  async findByUid() {}

  async consume(id) {
    const entry = store.get(`${this.name}:${id}`);
    if (entry) entry.payload.consumed = Math.floor(Date.now() / 1000);
  }

  async destroy(id) {
    store.delete(`${this.name}:${id}`);
  }

  async revokeByGrantId() {}
}

async function signingKey(alg) {
  state.kids += 1;
  const { privateKey } = await generateKeyPair(alg, { extractable: true });
  return { ...(await exportJWK(privateKey)), alg, use: 'sig', kid: `key-${state.kids}` };
}

/** A client as its owner registers it: with a public key, and no secret. */
function registered({ client_id, public_key, alg, bound, introspects }) {
  const jwk = { ...createPublicKey(public_key).export({ format: 'jwk' }), use: 'sig', alg };
  return {
    client_id,
    token_endpoint_auth_method: 'private_key_jwt',
    token_endpoint_auth_signing_alg: alg,
    jwks: { keys: [jwk] },
    // Of no use here, but the library wants a key for it.
    id_token_signed_response_alg: state.keys[0].alg,
    grant_types: introspects ? [] : ['client_credentials'],
    redirect_uris: [],
    response_types: [],
    dpop_bound_access_tokens: Boolean(bound),
    ...(introspects ? {} : { scope: 'read' }),
  };
}

function features() {
  const has = (clientId, property) => state.clients.some((one) => one.client_id === clientId && one[property]);
  const [{ alg, kid }] = state.keys;
  return {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    revocation: { enabled: true },
    introspection: { enabled: true, allowedPolicy: (_, client) => has(client.clientId, 'introspects') },
    dPoP: { enabled: true, nonceSecret },
    resourceIndicators: {
      enabled: true,
      // Without `resource`: an opaque token for nobody in particular.
      defaultResource: () => undefined,
      useGrantedResource: () => false,
      getResourceServerInfo: (_, resource, client) => {
        if (!RESOURCES.includes(resource)) throw new errors.InvalidTarget();
        return {
          scope: 'read',
          audience: resource,
          accessTokenTTL: LIFETIME_S,
          accessTokenFormat: has(client.clientId, 'opaque') ? 'opaque' : 'jwt',
          jwt: { sign: { alg, kid } },
        };
      },
    },
  };
}

function provider() {
  return new Provider(state.issuer, {
    adapter: Store,
    clients: state.clients.map(registered),
    jwks: { keys: state.keys },
    scopes: ['read'],
    ttl: { ClientCredentials: LIFETIME_S },
    clientAuthMethods: ['private_key_jwt'],
    enabledJWA: {
      clientAuthSigningAlgValues: ['RS256', 'ES256', 'EdDSA', 'Ed25519'],
      dPoPSigningAlgValues: ['ES256', 'ES384', 'PS256', 'RS256', 'EdDSA', 'Ed25519'],
      idTokenSigningAlgValues: SIGNING,
    },
    features: features(),
  });
}

/** Another set of keys is another instance of the library, on the same storage. */
async function rotate(alg, keep) {
  const made = await signingKey(alg);
  state.keys = [made, ...(keep ? state.keys : [])];
  state.handler = provider().callback();
  return { kid: made.kid };
}

async function start(clients) {
  const server = https.createServer({ key, cert: certificate }, (request, response) => {
    if (request.url === '/token/introspection') state.introspections += 1;
    state.handler(request, response);
  });
  await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
  state.issuer = `https://localhost:${server.address().port}`;
  state.clients = clients;
  await rotate('RS256', false);
  return { issuer: state.issuer, introspection_endpoint: `${state.issuer}/token/introspection` };
}

await serve(async (asked) => {
  switch (asked.do) {
    case 'start':
      return start(asked.clients);
    case 'rotate':
      return rotate(asked.alg, asked.keep);
    case 'introspections':
      return { count: state.introspections };
    default:
      throw new Error(`nobody knows how to ${asked.do}`);
  }
});
