//! The network interfaces of our network namespace, and which of them can be captured.

use super::error::Error;
use super::filter::LinkType;
use super::netlink::{self, Family};
use super::record::MAX_INTERFACES;

/// A captured interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// As the system names it.
    pub name: String,
    /// The kernel's number for it.
    pub index: u32,
    /// What its packets start with.
    pub link_type: LinkType,
    /// It is the loopback interface.
    pub loopback: bool,
}

/// An interface as the kernel tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Device {
    pub(super) name: String,
    pub(super) index: u32,
    /// `ARPHRD_*`
    hardware: u16,
    pub(super) up: bool,
}

const RTM_GETLINK: u16 = 18;
const IFINFOMSG: usize = 16;
const IFLA_IFNAME: u16 = 3;
const IFF_UP: u32 = 1;

/// Hardware types of `linux/if_arp.h` whose packets, at the TC hooks, start with an Ethernet header, ...
const ETHERNET: [u16; 2] = [ARPHRD_ETHER, ARPHRD_LOOPBACK];
const ARPHRD_ETHER: u16 = 1;
const ARPHRD_LOOPBACK: u16 = 772;
/// ... or with an IP header: PPP, raw HDLC and IP, IP in IP (4 and 6), SIT, GRE (4 and 6), none (tun,
/// `WireGuard`).
const RAW: [u16; 9] = [512, 518, 519, 768, 769, 776, 778, 823, 0xfffe];

impl Device {
    fn link_type(&self) -> Option<LinkType> {
        if ETHERNET.contains(&self.hardware) {
            Some(LinkType::Ethernet)
        } else if RAW.contains(&self.hardware) {
            Some(LinkType::Raw)
        } else {
            None
        }
    }

    /// The interface, or why it cannot be captured.
    fn usable(self) -> Result<Interface, String> {
        if !self.up {
            return Err("it is down".to_owned());
        }
        self.captured()
    }

    /// The same, up or not.
    pub(super) fn captured(self) -> Result<Interface, String> {
        let Some(link_type) = self.link_type() else {
            return Err(format!(
                "its packets are neither Ethernet nor IP (type {})",
                self.hardware
            ));
        };
        let loopback = self.hardware == ARPHRD_LOOPBACK;
        Ok(Interface { name: self.name, index: self.index, link_type, loopback })
    }
}

/// The interfaces with these names, or all that are up, each once; and notes about those left out.
pub(super) fn choose(names: &[String]) -> Result<(Vec<Interface>, Vec<String>), Error> {
    choose_from(list()?, names)
}

/// The kernel's numbers of all interfaces.
pub(super) fn indexes() -> Result<Vec<u32>, Error> {
    Ok(list()?.into_iter().map(|device| device.index).collect())
}

fn choose_from(
    devices: Vec<Device>,
    names: &[String],
) -> Result<(Vec<Interface>, Vec<String>), Error> {
    let mut chosen: Vec<Interface> = Vec::new();
    let mut notes = Vec::new();
    if names.is_empty() {
        for device in devices.into_iter().filter(|device| device.up) {
            let name = device.name.clone();
            match device.usable() {
                Ok(_) if chosen.len() == MAX_INTERFACES => {
                    notes.push(format!(
                        "packets of {name} are not captured: more than {MAX_INTERFACES} \
                         interfaces are up; choose with -i"
                    ));
                }
                Ok(interface) => chosen.push(interface),
                Err(reason) => notes.push(format!("packets of {name} are not captured: {reason}")),
            }
        }
        return if chosen.is_empty() { Err(Error::NoInterfaces) } else { Ok((chosen, notes)) };
    }
    let there = || {
        let names: Vec<&str> = devices
            .iter()
            .filter(|device| (*device).clone().usable().is_ok())
            .map(|device| device.name.as_str())
            .collect();
        names.join(", ")
    };
    for name in names {
        let device = devices
            .iter()
            .find(|device| device.name == *name)
            .ok_or_else(|| Error::NoInterface { name: name.clone(), there: there() })?;
        let unusable = |reason| Error::Unusable { name: name.clone(), reason, there: there() };
        let interface = device.clone().usable().map_err(unusable)?;
        if chosen.contains(&interface) {
            continue;
        }
        if chosen.len() == MAX_INTERFACES {
            return Err(unusable(format!("it is number {} of them", MAX_INTERFACES + 1)));
        }
        chosen.push(interface);
    }
    Ok((chosen, notes))
}

/// All interfaces.
pub(super) fn list() -> Result<Vec<Device>, Error> {
    let mut devices = Vec::new();
    netlink::dump(Family::Route, RTM_GETLINK, &[0; IFINFOMSG], |message| {
        devices.extend(device(message));
    })
    .map_err(|source| Error::List { what: "network interfaces", source })?;
    devices.sort_by_key(|device| device.index);
    Ok(devices)
}

/// `struct ifinfomsg` and attributes.
fn device(message: &[u8]) -> Option<Device> {
    let (info, rest) = message.split_at_checked(IFINFOMSG)?;
    let name = netlink::attributes(rest).find(|(kind, _)| *kind == IFLA_IFNAME)?.1;
    Some(Device {
        name: netlink::text(name),
        index: netlink::u32_at(info, 4)?,
        hardware: u16::from_ne_bytes(info.get(2..4)?.try_into().ok()?),
        up: netlink::u32_at(info, 8)? & IFF_UP != 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(name: &str, index: u32, hardware: u16, up: bool) -> Device {
        Device { name: name.to_owned(), index, hardware, up }
    }

    fn devices() -> Vec<Device> {
        vec![
            device("lo", 1, ARPHRD_LOOPBACK, true),
            device("eth0", 2, ARPHRD_ETHER, true),
            device("eth1", 3, ARPHRD_ETHER, false),
            device("wg0", 4, 0xfffe, true),
            device("can0", 5, 280, true),
        ]
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn without_names_all_that_are_up_are_taken_and_others_are_told() {
        let (chosen, notes) = choose_from(devices(), &[]).unwrap();
        let taken: Vec<_> = chosen.iter().map(|i| (i.name.as_str(), i.link_type)).collect();
        assert_eq!(
            taken,
            [("lo", LinkType::Ethernet), ("eth0", LinkType::Ethernet), ("wg0", LinkType::Raw)]
        );
        assert!(chosen[0].loopback && !chosen[1].loopback);
        assert_eq!(notes.len(), 1);
        assert!(notes[0].contains("can0"), "{notes:?}");
    }

    #[test]
    fn an_interface_is_taken_once_in_the_order_of_the_names() {
        let (chosen, _) = choose_from(devices(), &names(&["wg0", "lo", "wg0"])).unwrap();
        assert_eq!(chosen.iter().map(|i| i.index).collect::<Vec<_>>(), [4, 1]);
    }

    #[test]
    fn unknown_and_unusable_interfaces_are_named_with_what_there_is() {
        for (wrong, reason) in [("eth7", "no interface"), ("eth1", "down"), ("can0", "type 280")] {
            let error = choose_from(devices(), &names(&["lo", wrong])).unwrap_err().to_string();
            for part in [wrong, reason, "lo, eth0, wg0"] {
                assert!(error.contains(part), "{error} has no {part}");
            }
        }
    }

    #[test]
    fn the_kernel_tells_of_the_loopback_interface() {
        let devices = list().unwrap();
        let lo = devices.iter().find(|device| device.name == "lo").unwrap();
        assert_eq!((lo.index, lo.hardware), (1, ARPHRD_LOOPBACK));
    }
}
