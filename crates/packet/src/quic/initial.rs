//! Taking the protection off a client's Initial packets (RFC 9001 sections 5.2 to 5.4).

use super::header::{QuicPacket, VERSION_1, VERSION_2};
use aes_gcm::aead::AeadInOut as _;
use aes_gcm::aes::cipher::{BlockCipherEncrypt as _, KeyInit as _};
use aes_gcm::aes::{Aes128, Block};
use aes_gcm::{Aes128Gcm, Nonce, Tag};
use hkdf::Hkdf;
use sha2::Sha256;

const TAG: usize = 16;

/// What differs between the versions: salt and prefix of the labels.
struct Version {
    number: u32,
    salt: [u8; 20],
    labels: [&'static str; 3],
}

const VERSIONS: [Version; 2] = [
    Version {
        number: VERSION_1,
        salt: [
            0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17, 0x9a, 0xe6, 0xa4, 0xc8,
            0x0c, 0xad, 0xcc, 0xbb, 0x7f, 0x0a,
        ],
        labels: ["quic key", "quic iv", "quic hp"],
    },
    Version {
        number: VERSION_2,
        salt: [
            0x0d, 0xed, 0xe3, 0xde, 0xf7, 0x00, 0xa6, 0xdb, 0x81, 0x93, 0x81, 0xbe, 0x6e, 0x26,
            0x9d, 0xcb, 0xf9, 0xbd, 0x2e, 0xd9,
        ],
        labels: ["quicv2 key", "quicv2 iv", "quicv2 hp"],
    },
];

/// The keys of one direction.
pub(super) struct InitialKeys {
    aead: Aes128Gcm,
    iv: [u8; 12],
    header: Aes128,
}

impl InitialKeys {
    /// Those that a client uses, from the connection id that it chose for the server at first.
    pub(super) fn of_client(version: u32, destination: &[u8]) -> Option<Self> {
        let version = VERSIONS.iter().find(|known| known.number == version)?;
        let initial = Hkdf::<Sha256>::new(Some(&version.salt), destination);
        let client: [u8; 32] = expand(&initial, "client in")?;
        let client = Hkdf::<Sha256>::from_prk(&client).ok()?;
        let [key, iv, header] = version.labels;
        let key: [u8; 16] = expand(&client, key)?;
        let header: [u8; 16] = expand(&client, header)?;
        Some(Self {
            aead: Aes128Gcm::new(&key.into()),
            iv: expand(&client, iv)?,
            header: Aes128::new(&header.into()),
        })
    }

    /// The frames of a packet, if it was made with these keys.
    pub(super) fn open(&self, packet: &QuicPacket<'_>) -> Option<Vec<u8>> {
        let (clear, protected) = packet.bytes.split_at_checked(packet.number_at)?;
        // The sample lies where it would if the packet number had its greatest length, 4.
        let sample: [u8; 16] = protected.get(4..20)?.try_into().ok()?;
        let mut mask = Block::from(sample);
        self.header.encrypt_block(&mut mask);

        let mut header = clear.to_vec();
        let first = header.first_mut()?;
        *first ^= mask[0] & 0x0f;
        let number_len = usize::from(*first & 3) + 1;
        let (number, body) = protected.split_at_checked(number_len)?;
        header.extend(number.iter().zip(&mask[1..]).map(|(byte, mask)| byte ^ mask));

        let mut nonce = self.iv;
        let number = header.get(clear.len()..)?;
        for (byte, number) in nonce.iter_mut().rev().zip(number.iter().rev()) {
            *byte ^= number;
        }
        let (body, tag) = body.split_at_checked(body.len().checked_sub(TAG)?)?;
        let tag: [u8; TAG] = tag.try_into().ok()?;
        let mut plain = body.to_vec();
        self.aead
            .decrypt_inout_detached(
                &Nonce::from(nonce),
                &header,
                plain.as_mut_slice().into(),
                &Tag::from(tag),
            )
            .ok()?;
        Some(plain)
    }
}

/// HKDF-Expand-Label of TLS 1.3 with an empty context (RFC 8446 section 7.1).
fn expand<const N: usize>(secret: &Hkdf<Sha256>, label: &str) -> Option<[u8; N]> {
    let label_len = "tls13 ".len() + label.len();
    let mut info = vec![0, N as u8, label_len as u8];
    info.extend_from_slice(b"tls13 ");
    info.extend_from_slice(label.as_bytes());
    info.push(0);
    let mut out = [0; N];
    secret.expand(&info, &mut out).ok()?;
    Some(out)
}
