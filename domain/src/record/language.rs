//! Locale codes, such as `en-us`: a language and perhaps a script and a country.

/// Longest code. Source: the published description of users.
pub(super) const CHARS_MAX: usize = 10;

/// The languages of two letters. Source: ISO 639-1.
const LANGUAGES: &str = "aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de \
    dv dz ee el en eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id \
    ie ig ii ik io is it iu ja jv ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu \
    lv mg mh mi mk ml mn mr ms mt my na nb nd ne ng nl nn no nr nv ny oc oj om or os pa pi pl ps pt qu \
    rm rn ro ru rw sa sc sd se sg sh si sk sl sm sn so sq sr ss st su sv sw ta te tg th ti tk tl tn to \
    tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu";

/// Languages of three letters that systems have texts in. Source: ISO 639-2.
const LONGER_LANGUAGES: &str = "ast ceb chr fil gsw haw hsb kok nds yue";

/// The countries. Source: ISO 3166-1.
const COUNTRIES: &str = "ad ae af ag ai al am ao aq ar as at au aw ax az ba bb bd be bf bg bh bi bj bl bm bn bo bq br bs bt \
    bv bw by bz ca cc cd cf cg ch ci ck cl cm cn co cr cu cv cw cx cy cz de dj dk dm do dz ec ee eg eh \
    er es et fi fj fk fm fo fr ga gb gd ge gf gg gh gi gl gm gn gp gq gr gs gt gu gw gy hk hm hn hr ht \
    hu id ie il im in io iq ir is it je jm jo jp ke kg kh ki km kn kp kr kw ky kz la lb lc li lk lr ls \
    lt lu lv ly ma mc md me mf mg mh mk ml mm mn mo mp mq mr ms mt mu mv mw mx my mz na nc ne nf ng ni \
    nl no np nr nu nz om pa pe pf pg ph pk pl pm pn pr ps pt pw py qa re ro rs ru rw sa sb sc sd se sg \
    sh si sj sk sl sm sn so sr ss st sv sx sy sz tc td tf tg th tj tk tl tm tn to tr tt tv tw tz ua ug \
    um us uy uz va vc ve vg vi vn vu wf ws ye yt za zm zw";

/// Whether `code` names a language that there is, and where it names a country, one that there is; without regard to case.
pub(super) fn is_code(code: &str) -> bool {
    let code = code.to_ascii_lowercase();
    let mut parts = code.split('-');
    let language = parts.next().unwrap_or_default();
    let is_one_of = |list: &str, part: &str| list.split(' ').any(|known| known == part);
    let mut part = parts.next();
    if part
        .is_some_and(|part| part.len() == 4 && part.bytes().all(|byte| byte.is_ascii_alphabetic()))
    {
        part = parts.next();
    }
    let is_country = |part: &str| match part.len() {
        // An area of the world, such as 419 for Latin America.
        3 => part.bytes().all(|byte| byte.is_ascii_digit()),
        _ => is_one_of(COUNTRIES, part),
    };
    code.len() <= CHARS_MAX
        && (is_one_of(LANGUAGES, language) || is_one_of(LONGER_LANGUAGES, language))
        && part.is_none_or(is_country)
        && parts.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_locale_code_names_a_language_and_a_country_that_there_are() {
        for good in ["en-us", "de", "pt-BR", "zh-hant-tw", "es-419", "fil"] {
            assert!(is_code(good), "{good}");
        }
        for wrong in [
            "", "xx-yy", "xx", "en-yy", "en-", "-us", "deutsch!", "en-us-x", "e", "en us",
        ] {
            assert!(!is_code(wrong), "{wrong}");
        }
    }
}
