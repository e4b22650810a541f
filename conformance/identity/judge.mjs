// npm `jose`: makes tokens, and judges tokens, driven by lines on stdin.
//
//   {"do":"make","issuer","audience","now"}   a token for each algorithm, and odd ones: {"keys","tokens","odd"}
//   {"do":"expect","keys","issuer","audience","now","leeway","lifetime","algorithms"}
//   {"do":"judge","tokens":[base64]}          {"refused":[null or why]}
//
// It ends with its input.
import { KeyObject, constants, createPublicKey, randomUUID, sign } from 'node:crypto';
import { SignJWT, createLocalJWKSet, exportJWK, generateKeyPair, importJWK, jwtVerify } from 'jose';
import { serve } from './lines.mjs';

const RSA = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'];
const OTHERS = ['ES256', 'ES384', 'EdDSA', 'Ed25519'];
/** RFC 9068 §2.2. */
const REQUIRED = ['iss', 'exp', 'aud', 'sub', 'client_id', 'iat', 'jti'];
let verify;

function claims({ issuer, audience, now }) {
  const times = { iat: now - 10, nbf: now - 10, exp: now + 600 };
  return { iss: issuer, aud: audience, sub: 'service', client_id: 'service', jti: randomUUID(), scope: 'read', ...times };
}

function token(key, header, asked) {
  return new SignJWT(claims(asked)).setProtectedHeader({ typ: 'at+jwt', ...header }).sign(key);
}

/** A public key as it is published, and as PEM: what a forger could take for a shared secret. */
function published(key, header) {
  const jwk = { ...createPublicKey(KeyObject.from(key)).export({ format: 'jwk' }), use: 'sig', ...header };
  return { jwk, pem: createPublicKey(KeyObject.from(key)).export({ format: 'pem', type: 'spki' }) };
}

async function make(asked) {
  const rsa = (await generateKeyPair('RS256', { extractable: true })).privateKey;
  const keys = [];
  const tokens = [];
  const add = async (alg, key) => {
    const header = { alg, kid: `jose-${alg}` };
    keys.push(published(key, header));
    tokens.push({ alg, token: await token(key, header, asked) });
  };
  for (const alg of RSA) await add(alg, await importJWK(await exportJWK(rsa), alg));
  for (const alg of OTHERS) await add(alg, (await generateKeyPair(alg, { extractable: true })).privateKey);
  keys.push(published(rsa, { kid: 'jose-any' }));
  return { keys, tokens, odd: [...(await eachAlgorithm(rsa, asked)), ...oddSignatures(KeyObject.from(rsa), asked)] };
}

/** Good signatures in each algorithm, under names of the same key that say for which it is: for any, and for one. */
async function eachAlgorithm(rsa, asked) {
  const jwk = await exportJWK(rsa);
  const made = RSA.flatMap((alg) =>
    ['any', ...RSA].map(async (purpose) => {
      const text = await token(await importJWK(jwk, alg), { alg, kid: `jose-${purpose}` }, asked);
      return { what: `${alg} with a key for ${purpose}`, token: text };
    }),
  );
  return Promise.all(made);
}

/** Signatures that the key really made, but not as the header says. */
function oddSignatures(key, asked) {
  const b64 = (value) => Buffer.from(value).toString('base64url');
  const odd = (what, alg, hash, options) => {
    const input = `${b64(JSON.stringify({ alg, kid: 'jose-any', typ: 'at+jwt' }))}.${b64(JSON.stringify(claims(asked)))}`;
    return { what, token: `${input}.${b64(sign(hash, Buffer.from(input), { key, ...options }))}` };
  };
  const pss = (saltLength) => ({ padding: constants.RSA_PKCS1_PSS_PADDING, saltLength });
  return [
    odd('PS256 with a salt of its digest’s length', 'PS256', 'sha256', pss(32)),
    odd('PS256 without salt', 'PS256', 'sha256', pss(0)),
    odd('PS256 with a short salt', 'PS256', 'sha256', pss(20)),
    odd('PS256 with the longest salt', 'PS256', 'sha256', pss(constants.RSA_PSS_SALTLEN_MAX_SIGN)),
    odd('PS512 with the salt of PS256', 'PS512', 'sha512', pss(32)),
    odd('PS256 over SHA-384', 'PS256', 'sha384', pss(48)),
    odd('PS256 made as RS256', 'PS256', 'sha256', {}),
    odd('RS256 made as PS256', 'RS256', 'sha256', pss(32)),
    odd('RS256 over SHA-1', 'RS256', 'sha1', {}),
    odd('RS256 over SHA-512', 'RS256', 'sha512', {}),
  ];
}

function expect({ keys, issuer, audience, now, leeway, lifetime, algorithms }) {
  const set = createLocalJWKSet({ keys });
  const options = {
    algorithms,
    issuer,
    audience,
    typ: 'at+jwt',
    requiredClaims: REQUIRED,
    clockTolerance: leeway,
    maxTokenAge: lifetime,
    currentDate: new Date(now * 1000),
  };
  verify = (text) => jwtVerify(text, set, options);
}

async function judge(text) {
  try {
    await verify(Buffer.from(text, 'base64'));
    return null;
  } catch (error) {
    return error.code ?? error.name;
  }
}

await serve(async (asked) => {
  switch (asked.do) {
    case 'make':
      return make(asked);
    case 'expect':
      expect(asked);
      return {};
    case 'judge':
      return { refused: await Promise.all(asked.tokens.map(judge)) };
    default:
      throw new Error(`nobody knows how to ${asked.do}`);
  }
});
