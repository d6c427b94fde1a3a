//! Reading: many forms of one report, and what is refused.

use std::io::Write as _;

use flate2::{Compression, write::DeflateEncoder, write::GzEncoder};
use proptest::prelude::*;
use reports::dmarc::{AuthResult, Disposition, DmarcReport, Published, Row};
use reports::tls::TlsReport;
use reports::{MAX_EXPANDED_BYTES, MAX_PACKED_BYTES, NotReadable, Report, read};

const RFC7489: &str = r#"<?xml version="1.0" encoding="UTF-8" ?>
<feedback>
  <version>1.0</version>
  <report_metadata>
    <org_name>google.com</org_name><email>noreply-dmarc-support@google.com</email>
    <extra_contact_info>https://support.google.com/a/answer/2466580</extra_contact_info>
    <report_id>13190401177475355109</report_id>
    <date_range><begin>1700000000</begin><end>1700086399</end></date_range>
  </report_metadata>
  <policy_published><domain>Example.org</domain><adkim>r</adkim><aspf>r</aspf><p>quarantine</p><sp>none</sp><pct>100</pct></policy_published>
  <record>
    <row><source_ip>192.0.2.1</source_ip><count>7</count>
      <policy_evaluated><disposition>none</disposition><dkim>pass</dkim><spf>fail</spf>
        <reason><type>forwarded</type><comment>looks &amp; smells</comment></reason></policy_evaluated></row>
    <identifiers><envelope_from>lists.example.net</envelope_from><header_from>example.org</header_from></identifiers>
    <auth_results><dkim><domain>example.org</domain><result>pass</result><selector>hf-rsa</selector></dkim>
      <spf><domain>lists.example.net</domain><result>pass</result></spf></auth_results>
  </record>
</feedback>"#;

fn wanted() -> DmarcReport {
    let result = |domain: &str, selector: &str| AuthResult {
        domain: domain.into(),
        selector: selector.into(),
        result: "pass".into(),
    };
    DmarcReport {
        organisation: "google.com".into(),
        email: "noreply-dmarc-support@google.com".into(),
        id: "13190401177475355109".into(),
        range: Some((1_700_000_000, 1_700_086_399)),
        published: Published {
            domain: "example.org".into(),
            p: "quarantine".into(),
            sp: "none".into(),
            adkim: "r".into(),
            aspf: "r".into(),
            ..Published::default()
        },
        rows: vec![Row {
            source: Some("192.0.2.1".parse().unwrap()),
            count: 7,
            dkim: true,
            reasons: vec![("forwarded".into(), "looks & smells".into())],
            header_from: "example.org".into(),
            envelope_from: "lists.example.net".into(),
            dkim_results: vec![result("example.org", "hf-rsa")],
            spf_results: vec![result("lists.example.net", "")],
            ..Row::default()
        }],
        unread: 0,
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

/// A zip archive of these files, packed or stored.
fn zip(files: &[(&str, &[u8])], stored: bool) -> Vec<u8> {
    let (mut out, mut list) = (Vec::new(), Vec::new());
    for (name, content) in files {
        let mut deflate = DeflateEncoder::new(Vec::new(), Compression::default());
        deflate.write_all(content).unwrap();
        let packed = if stored { content.to_vec() } else { deflate.finish().unwrap() };
        let method: u16 = if stored { 0 } else { 8 };
        let at = u32::try_from(out.len()).unwrap();
        let sizes = [u32::try_from(packed.len()).unwrap(), u32::try_from(content.len()).unwrap()];
        let name_len = u16::try_from(name.len()).unwrap();
        let common = |flags: u16, sizes: [u32; 2]| {
            let mut common = [20u16.to_le_bytes(), flags.to_le_bytes(), method.to_le_bytes(), [0; 2], [0; 2]].concat();
            common.extend([0; 4]);
            common.extend(sizes.iter().flat_map(|size| size.to_le_bytes()));
            common.extend(name_len.to_le_bytes());
            common
        };
        // With sizes that are only in the list, as programs write them that pack while they send.
        out.extend([b"PK\x03\x04".as_slice(), &common(8, [0, 0]), &[0; 2], name.as_bytes(), &packed].concat());
        list.extend([b"PK\x01\x02".as_slice(), &20u16.to_le_bytes(), &common(8, sizes), &[0; 2], &[0; 2]].concat());
        list.extend([0; 8]);
        list.extend(at.to_le_bytes());
        list.extend(name.as_bytes());
    }
    let (count, size) = (u16::try_from(files.len()).unwrap(), u32::try_from(list.len()).unwrap());
    let at = u32::try_from(out.len()).unwrap();
    out.extend(list);
    out.extend([b"PK\x05\x06\0\0\0\0".as_slice(), &count.to_le_bytes(), &count.to_le_bytes()].concat());
    out.extend([size.to_le_bytes(), at.to_le_bytes()].concat());
    out.extend(b"\x07\0comment");
    out
}

#[test]
fn one_report_in_many_wrappings_is_the_same_report() {
    let wide: Vec<u8> = RFC7489.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let bytes = RFC7489.as_bytes();
    let halves = [gzip(&bytes[..200]), gzip(&bytes[200..])].concat();
    for (what, packed) in [
        ("plain", bytes.to_vec()),
        ("gzip", gzip(bytes)),
        ("two gzip members", halves),
        ("zip", zip(&[("google.com!example.org!1!2.xml", bytes)], false)),
        ("stored zip", zip(&[("r.xml", bytes)], true)),
        ("a zip with more in it", zip(&[("__MACOSX/._r.xml", b"x"), ("dir/", b""), ("r.XML", bytes)], false)),
        ("gzip in zip", zip(&[("r.xml.gz", &gzip(bytes))], true)),
        ("UTF-16 with a mark", [&[0xFF, 0xFE], wide.as_slice()].concat()),
        ("UTF-16 without", wide),
        ("UTF-8 with a mark", [b"\xEF\xBB\xBF", bytes].concat()),
        ("UTF-8 that says UTF-16", RFC7489.replace("UTF-8", "UTF-16").into_bytes()),
        ("Latin-1 declared", RFC7489.replace("UTF-8", "ISO-8859-1").into_bytes()),
        ("space around", format!("\r\n\r\n  {RFC7489}\n\n\0").into_bytes()),
        ("space within", RFC7489.replace("><", ">\n\t <").replace("<count>7", "<count>\n 7 ").into_bytes()),
        ("version 0.1", RFC7489.replace("<version>1.0", "<version>0.1").into_bytes()),
        ("no version", RFC7489.replace("<version>1.0</version>", "").into_bytes()),
        (
            "another namespace",
            RFC7489.replace("<feedback>", "<feedback xmlns=\"http://dmarc.org/dmarc-xml/0.1\">").into_bytes(),
        ),
        ("RFC 9990", RFC7489.replace("<feedback>", "<feedback xmlns='urn:ietf:params:xml:ns:dmarc-2.0'>").into_bytes()),
        (
            "prefixes",
            RFC7489
                .replace("</", "</d:")
                .replace('<', "<d:")
                .replace("<d:/d:", "</d:")
                .replace("<d:?", "<?")
                .into_bytes(),
        ),
        ("capitals", RFC7489.replace("record>", "Record>").replace("<p>quar", "<p>QUAR").into_bytes()),
        ("a schema", RFC7489.replace("<feedback>", "<feedback xmlns:xsi='a' xsi:schemaLocation='b c'>").into_bytes()),
        ("times as fractions", RFC7489.replace("1700000000", "1700000000.0").into_bytes()),
        ("a count as a fraction", RFC7489.replace("<count>7", "<count>7.0").into_bytes()),
        ("unknown elements", RFC7489.replace("<record>", "<x:e><y/></x:e><record><z>1</z>").into_bytes()),
        ("comments", RFC7489.replace("<record>", "<!-- <record> --><record>").into_bytes()),
        ("CDATA", RFC7489.replace("192.0.2.1", "<![CDATA[192.0.2.1]]>").into_bytes()),
        ("an IPv4 address as IPv6", RFC7489.replace("192.0.2.1", "::ffff:192.0.2.1").into_bytes()),
    ] {
        assert_eq!(read(&packed), Ok(Report::Dmarc(wanted())), "{what}");
    }
}

#[test]
fn what_is_missing_is_missing_and_nothing_else_is() {
    let without = |from: &str, to: &str| {
        let (before, rest) = RFC7489.split_once(from).unwrap();
        DmarcReport::read(format!("{before}{}", rest.split_once(to).unwrap().1).as_bytes())
    };
    let read = without("<policy_published>", "</policy_published>").unwrap();
    assert_eq!((read.published.domain.as_str(), read.published.p.as_str()), ("example.org", ""));
    assert_eq!(without("<date_range>", "</date_range>").unwrap().range, None);
    let half = without("<begin>", "</begin>").unwrap();
    assert_eq!(half.range, Some((1_700_086_399, 1_700_086_399)));
    let read = without("<report_metadata>", "</report_metadata>").unwrap();
    assert!(read.organisation.is_empty() && read.id.is_empty() && read.messages() == 7);
    assert_eq!(without("<count>", "</count>").unwrap().messages(), 1);
    assert!(without("<auth_results>", "</auth_results>").unwrap().rows[0].dkim_results.is_empty());
    let read = without("<policy_evaluated>", "</policy_evaluated>").unwrap();
    assert_eq!((read.rows[0].passes(), read.rows[0].disposition), (false, Disposition::None));
    assert_eq!(without("<record>", "</record>").unwrap().rows, []);
    let six = DmarcReport::read(RFC7489.replace("192.0.2.1", "[2001:DB8::1%eth0]").as_bytes()).unwrap();
    assert_eq!(six.rows[0].source, Some("2001:db8::1".parse().unwrap()));
    let strange = DmarcReport::read(RFC7489.replace("192.0.2.1", "nowhere").as_bytes()).unwrap();
    assert_eq!((strange.rows[0].source, strange.messages()), (None, 7));
    let more = RFC7489.replace("<count>7", "<count>99999999999999999999999");
    assert_eq!(DmarcReport::read(more.as_bytes()).unwrap().messages(), 1_000_000_000);
}

#[test]
fn what_is_hostile_or_no_report_is_refused() {
    let bomb = gzip(&vec![b' '; MAX_EXPANDED_BYTES + 1]);
    let steep = gzip(&vec![b' '; 4 << 20]);
    let zip_bomb = zip(&[("a.xml", &vec![b' '; 4 << 20])], false);
    let mut encrypted = zip(&[("a.xml", RFC7489.as_bytes())], false);
    let list = encrypted.windows(4).rposition(|four| four == b"PK\x01\x02").unwrap();
    encrypted[list + 8] |= 1;
    let doctype = RFC7489.replace("<feedback>", "<!DOCTYPE f [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;'>]><feedback>");
    let entity = RFC7489.replace("<org_name>", "<org_name>&b;");
    let cut = gzip(RFC7489.as_bytes());
    for (what, packed) in [
        ("nothing", Vec::new()),
        ("text", b"Hello".to_vec()),
        ("HTML", b"<!doctype html><html></html>".to_vec()),
        ("another XML", b"<rss><record/></rss>".to_vec()),
        ("too large", vec![b' '; MAX_PACKED_BYTES + 1]),
        ("a bomb", bomb),
        ("a steep one", steep),
        ("a zip bomb", zip_bomb),
        ("a zip with nothing", zip(&[("a.txt", b"x")], false)),
        ("an encrypted zip", encrypted),
        ("a cut zip", zip(&[("a.xml", RFC7489.as_bytes())], false)[..300].to_vec()),
        ("gzip thrice", gzip(&gzip(&gzip(RFC7489.as_bytes())))),
        ("cut gzip", cut[..cut.len() - 20].to_vec()),
        ("a document type", doctype.into_bytes()),
        ("an entity", entity.into_bytes()),
        ("cut XML", RFC7489.as_bytes()[..RFC7489.len() - 30].to_vec()),
        ("deep XML", format!("<feedback>{}", "<a>".repeat(100_000)).into_bytes()),
        ("no domain", RFC7489.replace("Example.org", "").replace("example.org", "").into_bytes()),
    ] {
        assert!(read(&packed).is_err(), "{what}");
    }
    assert!(matches!(read(&vec![0; MAX_PACKED_BYTES + 1]), Err(NotReadable::TooLarge { .. })));
}

#[test]
fn a_report_of_many_rows_is_read_up_to_a_bound_and_all_its_messages_are_counted() {
    let (head, rest) = RFC7489.split_once("<record>").unwrap();
    let (record, tail) = rest.split_once("</record>").unwrap();
    let many = format!("{head}{}{tail}", format!("<record>{record}</record>").repeat(12_000));
    let read = DmarcReport::read(&gzip(many.as_bytes())).unwrap();
    assert_eq!((read.rows.len(), read.messages()), (reports::dmarc::MAX_ROWS, 84_000));
}

const TLS: &str = r#"{"organization-name":"Far","date-range":{"start-datetime":"2026-01-01T00:00:00Z","end-datetime":"2026-01-01T23:59:59Z"},
 "contact-info":"tls@far.example","report-id":"1","policies":[{"policy":{"policy-type":"sts","policy-string":["version: STSv1"],
 "policy-domain":"example.org","mx-host":["mx"]},"summary":{"total-successful-session-count":5,"total-failure-session-count":3},
 "failure-details":[{"result-type":"certificate-expired","sending-mta-ip":"192.0.2.9","receiving-mx-hostname":"mx.example.org",
 "receiving-ip":"192.0.2.1","failed-session-count":3,"failure-reason-code":"old"}]}]}"#;

#[test]
fn a_tls_report_in_many_forms_is_the_same_report() {
    let wanted = TlsReport::read(TLS.as_bytes()).unwrap();
    assert_eq!((wanted.range, wanted.policies.len()), (Some((1_767_225_600, 1_767_311_999)), 1));
    let policy = &wanted.policies[0];
    assert_eq!((policy.kind.as_str(), policy.domain.as_str()), ("sts", "example.org"));
    assert_eq!((policy.successes, policy.failures, policy.details[0].count), (5, 3, 3));
    assert_eq!((policy.details[0].kind.as_str(), policy.details[0].text.as_str()), ("certificate-expired", "old"));
    for (what, packed) in [
        ("gzip", gzip(TLS.as_bytes())),
        ("zip", zip(&[("r.json", TLS.as_bytes())], false)),
        ("a mark", [b"\xEF\xBB\xBF\n", TLS.as_bytes()].concat()),
        ("counts as texts", TLS.replace(":5,", ":\"5\",").replace(":3,", ":3.0,").into_bytes()),
        ("lists and texts", TLS.replace("[\"mx\"]", "\"mx\"").replace("\"Far\"", "[\"Far\"]").into_bytes()),
        ("more", TLS.replace("{\"policy\"", "{\"x\":{\"y\":[1,{}]},\"policy\"").into_bytes()),
        ("a final dot", TLS.replace("\"example.org\"", "\"Example.ORG.\"").into_bytes()),
    ] {
        assert_eq!(read(&packed), Ok(Report::Tls(wanted.clone())), "{what}");
    }
    let bare = r#"{"policies":[{"policy":{"policy-domain":"example.org"},"failure-details":null},{}]}"#;
    let read_bare = TlsReport::read(bare.as_bytes()).unwrap();
    assert_eq!((read_bare.range, read_bare.policies.len(), read_bare.by_domain().len()), (None, 2, 1));
    let many = format!("{{\"policies\":[{}{{}}]}}", "{},".repeat(200_000));
    assert_eq!(TlsReport::read(many.as_bytes()).unwrap().policies.len(), reports::tls::MAX_POLICIES);
    let deep = format!("{{\"policies\":{}", "[".repeat(100_000));
    for wrong in ["", "[]", "{}", "{\"policies\":1}", "{\"a\":", TLS.replace("}]}", "}]").as_str(), &deep] {
        assert!(read(wrong.as_bytes()).is_err(), "{}", &wrong[..wrong.len().min(40)]);
    }
}

fn word() -> impl Strategy<Value = String> {
    "[a-z0-9<>&'\"é-]{0,12}"
}

fn name() -> impl Strategy<Value = String> {
    "[a-z][a-z0-9]{0,8}\\.example"
}

fn result() -> impl Strategy<Value = AuthResult> {
    (name(), word(), "pass|fail|neutral").prop_map(|(domain, selector, result)| AuthResult { domain, selector, result })
}

prop_compose! {
    fn row()(
        ip in any::<u32>(), count in 1u64..1_000_000, disposition in 0usize..3, dkim: bool,
        reasons in prop::collection::vec((word(), word()), 0..3), header_from in name(), envelope_from in name(),
        dkim_results in prop::collection::vec(result(), 0..4), spf in prop::option::of(result()), spf_passes: bool,
    ) -> Row {
        Row {
            source: Some(std::net::Ipv4Addr::from(ip).into()), name: String::new(), count,
            disposition: Disposition::ALL[disposition], dkim, spf: spf_passes, reasons, header_from, envelope_from, dkim_results,
            spf_results: spf.into_iter().map(|one| AuthResult { selector: String::new(), ..one }).collect(),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_written_reads_back(rows in prop::collection::vec(row(), 1..6), organisation in word(), domain in name(), testing: bool) {
        let report = DmarcReport {
            organisation, email: "a@b.example".into(), id: "1.x".into(), range: Some((1, 2)), rows, unread: 0,
            published: Published { domain, p: "reject".into(), testing, ..Published::default() },
        };
        let xml = reports::dmarc::xml(&report);
        prop_assert_eq!(read(&gzip(xml.as_bytes())), Ok(Report::Dmarc(report)));
    }

    #[test]
    fn any_bytes_give_a_result(mut bytes in prop::collection::vec(any::<u8>(), 0..400), at in 0usize..2000, kind in 0u8..4) {
        let _ = read(&bytes);
        let mut whole = match kind {
            0 => RFC7489.as_bytes().to_vec(),
            1 => TLS.as_bytes().to_vec(),
            2 => zip(&[("a.xml", RFC7489.as_bytes())], false),
            _ => gzip(RFC7489.as_bytes()),
        };
        let at = at.min(whole.len());
        bytes.truncate(8);
        whole.splice(at..(at + bytes.len()).min(whole.len()), bytes);
        let _ = read(&whole);
    }
}
