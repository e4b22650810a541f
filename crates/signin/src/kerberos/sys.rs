//! The calls that `libgssapi` has no safe form for: acquiring from a credential store, and destroying a ticket cache.
#![allow(unsafe_code)]

use std::{
    ffi::{CString, c_char, c_void},
    ptr,
};

use libgssapi::{
    credential::Cred,
    error::{Error, MajorFlags},
};
use libgssapi_sys as gss;

/// GSS_KRB5_NT_PRINCIPAL_NAME, 1.2.840.113554.1.2.2.1 (RFC 1964 §2.1.1)
static NT_KRB5_PRINCIPAL: &[u8] = b"\x2a\x86\x48\x86\xf7\x12\x01\x02\x02\x01";
/// The Kerberos mechanism, 1.2.840.113554.1.2.2 (RFC 1964 §1)
pub(super) static MECH_KRB5: &[u8] = b"\x2a\x86\x48\x86\xf7\x12\x01\x02\x02";
/// SPNEGO, 1.3.6.1.5.5.2 (RFC 4178)
pub(super) static MECH_SPNEGO: &[u8] = b"\x2b\x06\x01\x05\x05\x02";

/// An initiator's credential for `principal`, by the keytab, kept in a ticket cache of ours. Nothing of the process's
/// environment but `KRB5_CONFIG` plays a part. Talks to the KDC unless the cache holds a ticket.
pub(super) fn acquire_from_keytab(
    principal: &str,
    keytab: &CString,
    cache: &TicketCache,
    mechanism: &'static [u8],
) -> Result<Cred, Error> {
    let name = ImportedName::new(principal)?;
    let mut mechanism_oid = oid(mechanism);
    let mut mechanisms = gss::gss_OID_set_desc_struct { count: 1, elements: &raw mut mechanism_oid };
    let mut elements = [
        gss::gss_key_value_element_struct { key: c"client_keytab".as_ptr(), value: keytab.as_ptr() },
        gss::gss_key_value_element_struct { key: c"ccache".as_ptr(), value: cache.0.as_ptr() },
    ];
    let store = gss::gss_key_value_set_struct { count: 2, elements: elements.as_mut_ptr() };
    let mut minor = 0;
    let mut credential: gss::gss_cred_id_t = ptr::null_mut();
    // SAFETY: every pointer is to a local or an argument that outlives the call; the library copies what it keeps. The two
    // trailing outputs may be null (RFC 2744 §5.2).
    let major = unsafe {
        gss::gss_acquire_cred_from(
            &raw mut minor,
            name.0,
            gss::_GSS_C_INDEFINITE,
            &raw mut mechanisms,
            gss::GSS_C_INITIATE as gss::gss_cred_usage_t,
            &raw const store,
            &raw mut credential,
            ptr::null_mut(),
            ptr::null_mut(),
        )
    };
    if major != gss::GSS_S_COMPLETE {
        return Err(error(major, minor));
    }
    // SAFETY: the call succeeded, so `credential` is a handle that nobody else owns.
    Ok(unsafe { Cred::from_c(credential) })
}

fn error(major: u32, minor: u32) -> Error {
    Error { major: MajorFlags::from_bits_retain(major), minor }
}

/// The library reads object identifiers and never writes to them, though its types are not const.
fn oid(bytes: &'static [u8]) -> gss::gss_OID_desc {
    // The object identifiers of this file have at most ten bytes.
    gss::gss_OID_desc { length: bytes.len() as gss::OM_uint32, elements: bytes.as_ptr().cast_mut().cast() }
}

struct ImportedName(gss::gss_name_t);

impl ImportedName {
    fn new(principal: &str) -> Result<Self, Error> {
        let mut text = gss::gss_buffer_desc { length: principal.len(), value: principal.as_ptr().cast_mut().cast() };
        let mut kind = oid(NT_KRB5_PRINCIPAL);
        let (mut minor, mut name) = (0, ptr::null_mut());
        // SAFETY: `text` describes `principal`, which outlives the call, and the library copies and does not write it.
        let major = unsafe { gss::gss_import_name(&raw mut minor, &raw mut text, &raw mut kind, &raw mut name) };
        if major == gss::GSS_S_COMPLETE { Ok(Self(name)) } else { Err(error(major, minor)) }
    }
}

impl Drop for ImportedName {
    fn drop(&mut self) {
        let mut minor = 0;
        // SAFETY: the name came from `gss_import_name` and is released once.
        unsafe { gss::gss_release_name(&raw mut minor, &raw mut self.0) };
    }
}

/// A ticket cache in this process's memory, under a name of its own. Such a cache lives until it is destroyed: dropping a
/// credential only closes it, so a gateway that acquires anew for years would keep every old ticket.
pub(super) struct TicketCache(CString);

impl TicketCache {
    /// `unique` names no other cache of this process.
    pub(super) fn new(unique: &str) -> Option<Self> {
        CString::new(format!("MEMORY:airgate-{unique}")).ok().map(Self)
    }
}

impl Drop for TicketCache {
    fn drop(&mut self) {
        let (mut context, mut cache) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: the outputs are locals; each call runs only if the one that made its argument succeeded.
        // `krb5_cc_destroy` frees the handle in every case, and the context is freed last and once.
        unsafe {
            if krb5_init_context(&raw mut context) != 0 {
                return;
            }
            if krb5_cc_resolve(context, self.0.as_ptr(), &raw mut cache) == 0 {
                krb5_cc_destroy(context, cache);
            }
            krb5_free_context(context);
        }
    }
}

#[link(name = "krb5")]
unsafe extern "C" {
    fn krb5_init_context(context: *mut *mut c_void) -> i32;
    fn krb5_free_context(context: *mut c_void);
    fn krb5_cc_resolve(context: *mut c_void, name: *const c_char, cache: *mut *mut c_void) -> i32;
    fn krb5_cc_destroy(context: *mut c_void, cache: *mut c_void) -> i32;
}
