//! Letters that look like Latin ones: of other scripts, of other uses, and signs that stand for a letter.
//!
//! Our own table. It leans on what Unicode's report on security mechanisms (UTS #39) says of confusable characters and on what people
//! write to get round lists of words. Compatibility forms (full-width, mathematical, circled) are not in it: NFKC takes those.

/// The Latin letter that this one is drawn like, in lower case. Capitals are asked before they are lowered: the capital Greek eta looks
/// like H and the small one like n.
pub(super) fn latin(character: char) -> Option<char> {
    SCRIPTS.iter().find_map(|(letter, lookalikes)| lookalikes.contains(character).then_some(*letter))
}

const SCRIPTS: [(char, &str); 26] = [
    ('a', "аАαΑɑᴀɐԱᎪ卂₳ꭺ"),
    ('b', "вВьЬЪъβΒʙɓᏴ乃฿ƄƅხЂ"),
    ('c', "сСϲϹᴄɔƇᏟ匚₵¢ⲥↄ"),
    ('d', "ԁԀᴅɗᎠ刀ժđ"),
    ('e', "еЕєЄεΕᴇǝəэЭᎬ乇€ҽ∊ҿ"),
    ('f', "ꜰɟƒϝ下₣ք"),
    ('g', "ɡɢɠƃցᏀԍ₲"),
    ('h', "нНһҺΗʜɥɦհᎻ卄ђЋћ"),
    ('i', "іІιΙɪᴉıӏӀӀɩɨ工ɭ⍳ӏ"),
    ('j', "јЈᴊʝɾᎫյ"),
    ('k', "кКκΚᴋʞƙᏦ₭长"),
    ('l', "ʟɫլᏞㄥ£łⳑ"),
    ('m', "мМΜᴍɱᎷ爪"),
    ('n', "пПηΝɴɲŋոռիИ几₦ทη"),
    ('o', "оОοΟᴏσøөӨՕօ口ס๏Ⲟⲟ०໐ഠ"),
    ('p', "рРρΡᴘƥᏢ卩₱ⲣ"),
    ('q', "ԛԚʠգզ"),
    ('r', "гГяЯʀɹᏒ尺ⲅ"),
    ('s', "ѕЅʂꜱςϚᏚ丂₴Տ§"),
    ('t', "тТτΤᴛʇŧƬᎢ丁丅₮†"),
    ('u', "иυᴜսʉυ凵ս∪"),
    ('v', "νѵѴʋᴠᏙ√∨"),
    ('w', "ԝԜωшШᴡʍɯᎳ山₩ѡщ"),
    ('x', "хХχΧ乂×ⅹ✕❌"),
    ('y', "уУүҮγΥʏʎᎩ丫¥чү"),
    ('z', "ΖᴢʒƶᏃ乙"),
];

/// The letter that a digit or a sign is written for, when it stands in a word.
pub(super) fn written_for(character: char, one: char) -> Option<char> {
    Some(match character {
        '0' => 'o',
        '1' | '!' | '|' | '¡' | 'ǀ' => one,
        '3' => 'e',
        '4' | '@' => 'a',
        '5' | '$' => 's',
        '6' | '9' => 'g',
        '7' | '+' => 't',
        '8' => 'b',
        '(' => 'c',
        _ => return None,
    })
}

/// Letters with a stroke and joined letters, which no decomposition takes apart.
pub(super) fn spelt_out(character: char) -> Option<&'static str> {
    Some(match character {
        'ß' | 'ẞ' => "ss",
        'æ' | 'Æ' => "ae",
        'œ' | 'Œ' => "oe",
        'ø' | 'Ø' => "o",
        'đ' | 'Đ' | 'ð' | 'Ð' => "d",
        'ħ' | 'Ħ' => "h",
        'ł' | 'Ł' => "l",
        'ŧ' | 'Ŧ' => "t",
        'þ' | 'Þ' => "p",
        'ı' => "i",
        'ƀ' => "b",
        _ => return None,
    })
}

/// Letters that are drawn in boxes, flags or not at all, which NFKC leaves.
pub(super) fn unboxed(character: char) -> Option<char> {
    let from = |first: u32| char::from_u32(u32::from('a') + u32::from(character) - first);
    match character {
        // Regional indicators, of which flags are made.
        '\u{1f1e6}'..='\u{1f1ff}' => from(0x1f1e6),
        // Negative circled, negative squared.
        '\u{1f150}'..='\u{1f169}' => from(0x1f150),
        '\u{1f170}'..='\u{1f189}' => from(0x1f170),
        _ => None,
    }
}

/// The character that an invisible tag stands for.
pub(super) fn tag(character: char) -> Option<char> {
    match character {
        '\u{e0020}'..='\u{e007e}' => char::from_u32(u32::from(character) - 0xe0000),
        _ => None,
    }
}

/// Marks on letters that change no letter, and what is not seen at all.
pub(super) fn is_dropped(character: char) -> bool {
    matches!(character,
        '\u{300}'..='\u{36f}'          // marks on letters
        | '\u{483}'..='\u{489}'
        | '\u{591}'..='\u{5c7}'        // Hebrew points
        | '\u{610}'..='\u{61a}' | '\u{640}' | '\u{64b}'..='\u{65f}' | '\u{670}' // Arabic points and the stretching stroke
        | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}' | '\u{20d0}'..='\u{20ff}' | '\u{fe20}'..='\u{fe2f}'
        | '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e01ef}')
}

/// Scripts whose letters carry marks that can be left out without making another word of ours.
pub(super) fn is_marked_script(character: char) -> bool {
    matches!(character,
        '\u{c0}'..='\u{24f}' | '\u{370}'..='\u{52f}' | '\u{1e00}'..='\u{1fff}')
}

/// Scripts that are written without spaces, or with endings grown onto their words: what is in a word is looked for within it.
pub(super) fn is_unspaced(character: char) -> bool {
    matches!(character,
        '\u{e00}'..='\u{eff}'          // Thai, Lao
        | '\u{1100}'..='\u{11ff}' | '\u{ac00}'..='\u{d7af}' // Hangul
        | '\u{3005}'..='\u{3007}' | '\u{3040}'..='\u{30ff}' // kana
        | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{323af}')
}

/// Pictures among letters: words of their own.
pub(super) fn is_picture(character: char) -> bool {
    matches!(character, '\u{2600}'..='\u{27bf}' | '\u{1f300}'..='\u{1faff}')
}
