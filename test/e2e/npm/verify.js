// node verify.js --key PEM --root TRUSTED_ROOT --type URI BUNDLE FILE
//
// Verifies a bundle with Sigstore's own library for JavaScript. Signature, log
// entry and timestamp are its business; that the statement is of this type and
// about this file is, by its design, its caller's, so those two lines are here.
'use strict';
const { createHash, createPublicKey } = require('node:crypto');
const { readFileSync } = require('node:fs');
const { parseArgs } = require('node:util');
const { bundleFromJSON } = require('@sigstore/bundle');
const { TrustedRoot } = require('@sigstore/protobuf-specs');
const { toSignedEntity, toTrustMaterial, Verifier } = require('@sigstore/verify');

const { values, positionals } = parseArgs({
  options: { key: { type: 'string' }, root: { type: 'string' }, type: { type: 'string' } },
  allowPositionals: true,
});
const json = (name) => JSON.parse(readFileSync(name, 'utf8'));

try {
  const bundle = bundleFromJSON(json(positionals[0]));
  const key = {
    publicKey: createPublicKey(readFileSync(values.key)),
    validFor: () => true,
  };
  const trust = toTrustMaterial(TrustedRoot.fromJSON(json(values.root)), () => key);
  new Verifier(trust, { ctlogThreshold: 0 }).verify(toSignedEntity(bundle));

  const statement = JSON.parse(bundle.content.dsseEnvelope.payload);
  const digest = createHash('sha256').update(readFileSync(positionals[1])).digest('hex');
  if (statement.predicateType !== values.type) throw new Error(`predicate type is ${statement.predicateType}`);
  if (!statement.subject.some((s) => s.digest.sha256 === digest)) throw new Error(`no subject is sha256:${digest}`);
  console.log('verified');
} catch (e) {
  console.error(`refused: ${e.code ?? e.name}: ${e.message}`);
  process.exit(1);
}
