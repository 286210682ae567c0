# ruff: noqa: RUF001 - other scripts' letters are data here
"""Where a wrong answer hurts: medicine, law, money, electricity. Words of the ask in many languages, as a table.

A request that is about one of them is not harder, but a failure costs more: it counts one step more, whichever profile asks.
A word too many costs some money, a word too few an answer: so words are taken that hardly mean anything else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Final

STEP: Final = 3.0
"""How many times what a failure costs where a wrong answer hurts."""

LEAST_AT_STAKE: Final = 0.3
"""The chance of a small model's failing that `eco` reckons with at least: such questions are short and look easy, and small models
answer a third of professional ones in medicine and law wrongly (MMLU; so it is in the development data)."""

LONGEST: Final = 2000
"""Characters of an ask that are looked at: its beginning says what it is about."""

_STEMS: Final = {
    "health": """
        medication medicine medicines dosage overdose ibuprofen paracetamol acetaminophen aspirin warfarin insulin antibiotic
        antidepress symptom diagnos prescription pregnan allerg anaphyla seizure chest_pain blood_pressure vaccin
        chemotherap poison_control swallowed suicid
        medikament dosierung arznei schwanger blutdruck überdosis nebenwirkung schlaganfall vergiftung rezeptpflichtig impfung
        médicament posologie enceinte ordonnance surdosage tension_artérielle effets_secondaires vaccin
        medicamento dosis embaraz receta_médica sobredosis presión_arterial efectos_secundarios vacuna
        medicijn zwanger bloeddruk bijwerking overdosering farmaco gravidanza sovradosaggio pressione_sanguigna effetti_collaterali
        remédio gravidez pressão_arterial efeitos_colaterais leki_ dawkowan ciąż ciśnieni skutki_uboczne
        läkemedel gravid_ blodtryck biverkning lægemiddel blodtryk bivirkning lääke raskau verenpain
        лекарств дозировк беременн давлени побочн передозировк ліки вагітн побічн lék_ léky těhoten krevní_tlak
        ilaç hamile tansiyon yan_etki doz_ gyógyszer terhes vérnyomás medicament_ sarcin tensiunea φάρμακ εγκυο δοσολογ
        دواء جرعة حامل ضغط_الدم أعراض תרופה הריון מינון לחץ_דם दवा खुराक गर्भ ขนาดยา ตั้งครรภ์ thuốc mang_thai liều_dùng obat_ hamil dosis
        药物 用药 剂量 吃药 怀孕 孕妇 血压 副作用 症状 过敏 藥物 劑量 懷孕 薬 妊娠 副作用 服用 血圧 약을 복용 임신 혈압 부작용
    """,
    "law": """
        lawsuit legal_ attorney lawyer tenancy eviction evict landlord custody liabilit statute
        contract_ notice_period immigration visa_ divorce
        rechtlich rechtsanwalt mietrecht mietvertrag kündigungsfrist vermieter sorgerecht erbrecht haftung scheidung klage_
        juridique avocat bail_ préavis propriétaire garde_des_enfants divorce
        abogado demanda_judicial desahucio contrato casero custodia divorcio
        huurrecht huurcontract opzegtermijn verhuurder advocaat echtscheiding avvocato sfratto contratto eredità divorzio
        advogado despejo contrato divórcio prawnik adwokat umow wypowiedzen spadek rozwód
        advokat uppsägning hyresvärd arv_ skilsmässa opsigelse lejekontrakt asianajaja vuokrasopimus avioero
        юрист адвокат договор наследств развод выселен юридич договір спадщин позов právník smlouv dědictví
        avukat dava_ kira_sözleşmesi miras boşanma ügyvéd szerződés öröksé avocat contract_de moștenire δικηγόρ συμβόλαι κληρονομ
        محامي عقد طلاق ميراث قانون עורך_דין חוזה ירושה גירושין वकील अनुबंध कानून तलाक ทนาย สัญญา กฎหมาย luật_sư hợp_đồng ly_hôn pengacara kontrak warisan
        律师 合同 法律 诉讼 离婚 遗产 律師 法律 訴訟 弁護士 契約 訴訟 離婚 相続 변호사 계약서 소송 이혼 상속
    """,
    "money": """
        mortgage tax_return taxes tax_ investing investment investor invest_ pension retirement loan_ insurance_claim bankruptc interest_rate
        hypothek steuererklärung steuer_ geldanlage rente_ kredit_ insolvenz zinssatz altersvorsorge
        prêt_immobilier impôt investir retraite crédit faillite hypothèque
        hipoteca impuesto invertir pensión préstamo bancarrota
        hypotheek belasting belegg pensioen lening mutuo tasse_ investire pensione prestito imposto investir empréstimo aposentadoria
        kredyt podat inwest emerytur bolån skatt_ skatten investera boliglån asuntolaina verotu sijoitt eläke_
        ипотек налог инвестиц пенси кредит_ іпотек податк інвестиц hypoték daně_ investic důchod
        ipotek vergi yatırım emekli kredi_ jelzálog adó_ befektet nyugdíj impozit στεγαστικ φόρο επένδυ σύνταξ
        قرض ضريبة استثمار تقاعد משכנתא מס_הכנסה השקעה פנסיה ऋण कर्ज निवेश पेंशन สินเชื่อ ภาษี ลงทุน thế_chấp thuế đầu_tư pajak investasi pensiun pinjaman
        贷款 税 投资 退休金 房贷 理财 貸款 稅 投資 税金 投資 住宅ローン 年金 대출 세금 투자 연금
    """,
    "electricity": """
        wiring rewire circuit_breaker fuse_box fusebox mains_ live_wire electrician high_voltage electric_shock 230_v 240_v 400_v
        verkabel sicherungskasten stromschlag elektriker starkstrom fi-schalter schutzleiter steckdose_anschließen herdanschluss
        disjoncteur tableau_électrique électricien câblage électrocu
        cuadro_eléctrico disyuntor electricista cableado descarga_eléctrica
        meterkast elektricien bedrading stroomschok quadro_elettrico elettricista salvavita cablaggio scossa
        quadro_elétrico disjuntor eletricista choque_elétrico bezpieczniki elektryk instalacj_elektryczn porażeni
        elcentral elektriker säkring elinstallation elskåp sähköasentaja sulaketaulu
        электрик проводк автомат_защиты щиток удар_током електрик проводк elektrikář jistič
        sigorta_kutusu elektrikçi elektrik_çarp villanyszerel biztosíték tablou_electric electrician ηλεκτρολόγ ηλεκτροπληξ
        كهربائي أسلاك قاطع חשמלאי לוח_חשמל बिजली_मिस्त्री वायरिंग ช่างไฟฟ้า เบรกเกอร์ thợ_điện cầu_dao tukang_listrik korsleting
        电线 电工 配电箱 触电 断路器 電線 電工 分電盤 感電 配線 배선 전기기사 차단기 감전
    """,
}
"""Beginnings of words by what is at stake; `_` is a space within or at the end of one. Scripts that do not part words: anywhere."""

_WORD: Final = re.compile(r"\w+")
_UNPARTED: Final = re.compile(r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_KEY: Final = 3
"""Characters by which a beginning is looked up."""


def at_stake(ask: str) -> str:
    """What a wrong answer to this would hurt: `health`, `law`, `money` or `electricity`; "" for nothing of these. Linear."""
    text = ask[:LONGEST].casefold()
    words = _WORD.findall(text)
    joined, at, table = f"{' '.join(words)} ", 0, _table()
    for word in words:
        for stem, name in table.get(joined[at : at + _KEY], ()):
            if joined.startswith(stem, at):
                return name
        at += len(word) + 1
    if text.isascii() or _UNPARTED.search(text) is None:
        return ""
    found = _pattern().search(joined)
    return found.lastgroup or "" if found is not None else ""


@cache
def _table() -> dict[str, list[tuple[str, str]]]:
    """Beginnings of parted words by their first characters, each with what is at stake."""
    found: dict[str, list[tuple[str, str]]] = {}
    for name, stem in _stems():
        if _UNPARTED.search(stem) is None:
            found.setdefault(stem[:_KEY], []).append((stem, name))
    return found


@cache
def _pattern() -> re.Pattern[str]:
    """One expression of those of scripts that do not part words."""
    parts: dict[str, list[str]] = {}
    for name, stem in _stems():
        if _UNPARTED.search(stem) is not None:
            parts.setdefault(name, []).append(re.escape(stem))
    return re.compile("|".join(f"(?P<{name}>{'|'.join(stems)})" for name, stems in parts.items()))


def _stems() -> Iterator[tuple[str, str]]:
    for name, listed in _STEMS.items():
        for stem in listed.split():
            word = stem.replace("_", " ").casefold()
            yield name, " ".join(_WORD.findall(word)) + (" " if word.endswith(" ") else "")
