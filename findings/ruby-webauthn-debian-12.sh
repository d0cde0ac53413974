#!/usr/bin/env bash
#
# Debian 12's ruby-webauthn 2.5.2-1 registers passkeys, and no sign-in with one is ever right: beside the OpenSSL 3 of the same
# Debian its ruby-cose 1.2.0-2 cannot make a public key.
#
#   findings/ruby-webauthn-debian-12.sh        on Debian 12 (amd64)
#
# A registration with the attestation "none" passes, for there is no signature in it to be looked at. Then
#
#     ES256   registered   OpenSSL::PKey::PKeyError: pkeys are immutable on OpenSSL 3.0
#     RS256   registered   OpenSSL::PKey::PKeyError: rsa#set_key= is incompatible with OpenSSL 3.0
#
# The signatures are right: Ruby's own OpenSSL says so of both. Who installs the package learns of it when the first of their
# people comes back.
#
# Ends with 0 if all of that is still so, with 1 if something has changed. Everything is in a temporary folder.

set -euo pipefail
folder=$(mktemp --directory)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

readonly PACKAGES=(
    ruby3.1=3.1.7+really3.1.2-0+deb12u1 libruby3.1=3.1.7+really3.1.2-0+deb12u1 libyaml-0-2
    ruby-webauthn=2.5.2-1 ruby-cose=1.2.0-2 ruby-cbor=0.5.9.6-2+b4 ruby-openssl-signature-algorithm=1.0.0-1
    ruby-android-key-attestation=0.3.0-2 ruby-safety-net-attestation=0.4.0-2 ruby-tpm-key-attestation=0.11.0-1
    ruby-awrence=1.1.1-2 ruby-bindata=2.4.14-1 ruby-jwt=2.5.0-1+deb12u1
)
apt-get download "${PACKAGES[@]}" >download.log 2>&1 || { cat download.log; exit 1; }
for package in *.deb; do dpkg -x "$package" root; done

# That Ruby with those libraries, and nothing of the machine's.
ruby() {
    local usr=$folder/root/usr libraries
    local machine=$usr/lib/x86_64-linux-gnu
    libraries=$(printf '%s:' "$usr"/share/rubygems-integration/all/gems/*/lib "$machine"/rubygems-integration/3.1.0/gems/*/lib \
        "$machine"/rubygems-integration/3.1.0/extensions/x86_64-linux/3.1.0/*)
    LD_LIBRARY_PATH=$machine RUBYOPT='' RUBYLIB=$libraries$usr/lib/ruby/vendor_ruby:$usr/lib/ruby/3.1.0:$machine/ruby/3.1.0 \
        "$usr/bin/ruby3.1" --disable-gems "$@"
}

cat >site.rb <<'RUBY'
require "base64"
require "json"
require "openssl"
require "securerandom"
require "cbor"
require "webauthn"

WebAuthn.configure { |site| site.origin = "https://example.org" }

def text(raw) = Base64.urlsafe_encode64(raw, padding: false)

def client_data(kind, challenge)
  { type: kind, challenge: challenge, origin: "https://example.org", crossOrigin: false }.to_json
end

def verdict(done)
  yield
  done
rescue StandardError => e
  "#{e.class}: #{e.message}"
end

# Made, and then used once.
def visit(name, key, cose)
  identifier, challenge = SecureRandom.bytes(32), text(SecureRandom.bytes(32))
  site = OpenSSL::Digest::SHA256.digest("example.org")
  made = site + [0x45, 0].pack("CN") + "\0" * 16 + [identifier.bytesize].pack("n") + identifier + cose.to_cbor
  used, asked = site + [0x05, 0].pack("CN"), client_data("webauthn.get", challenge)
  said = used + OpenSSL::Digest::SHA256.digest(asked)
  signature = key.sign("SHA256", said)
  named = { "type" => "public-key", "id" => text(identifier), "rawId" => text(identifier) }

  registered = verdict("registered") do
    attestation = { "fmt" => "none", "attStmt" => {}, "authData" => made.b }.to_cbor
    response = { "clientDataJSON" => text(client_data("webauthn.create", challenge)), "attestationObject" => text(attestation) }
    WebAuthn::Credential.from_create(named.merge("response" => response)).verify(challenge)
  end
  signed_in = verdict("signed in") do
    response = { "clientDataJSON" => text(asked), "authenticatorData" => text(used), "signature" => text(signature) }
    passkey = WebAuthn::Credential.from_get(named.merge("response" => response))
    passkey.verify(challenge, public_key: text(cose.to_cbor), sign_count: 0)
  end
  is_right = key.verify("SHA256", signature, said)
  puts "#{name}: #{registered}; #{signed_in}; the signature is #{is_right ? "right" : "wrong"}"
end

elliptic = OpenSSL::PKey::EC.generate("prime256v1")
point = elliptic.public_key.to_octet_string(:uncompressed)
visit("ES256", elliptic, { 1 => 2, 3 => -7, -1 => 1, -2 => point[1, 32], -3 => point[33, 32] })
rsa = OpenSSL::PKey::RSA.new(2048)
visit("RS256", rsa, { 1 => 3, 3 => -257, -1 => rsa.n.to_s(2), -2 => rsa.e.to_s(2) })
RUBY
ruby site.rb | tee seen

diff - seen <<'SEEN'
ES256: registered; OpenSSL::PKey::PKeyError: pkeys are immutable on OpenSSL 3.0; the signature is right
RS256: registered; OpenSSL::PKey::PKeyError: rsa#set_key= is incompatible with OpenSSL 3.0; the signature is right
SEEN
