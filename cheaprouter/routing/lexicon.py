# ruff: noqa: RUF001 - other scripts' letters and punctuation are data here
"""Word lists and patterns that tell what kind of thing is asked. Data only; every list is matched on whole words.

Languages without spaces are matched as substrings, which is safe there and nowhere else: "prove" sits in "improve".
"""

from __future__ import annotations

import re
from typing import Final


def _words(text: str) -> frozenset[str]:
    return frozenset(text.replace("ı", "i").split())


PROOF: Final = _words("""
prove proves proving proof proofs disprove derive derives derivation theorem theorems lemma conjecture corollary axiom axioms
iff rigorous rigorously formalise formalize induction contradiction counterexample irrational
beweise beweis beweisen beweist herleite herleiten herleitung leite widerlege lehrsatz
démontre démontrer démontrez prouve prouver prouvez preuve démonstration théorème déduire
demuestra demuestre demostrar demostración demuéstralo prueba teorema deduce deduzca derivar
dimostra dimostrare dimostrazione deriva derivare
prove demonstre demonstrar demonstração deduza
bewijs bewijzen stelling leid
udowodnij dowód wyprowadź wykaż twierdzenie
dokaž dokažte důkaz odvoď odvoďte větu
докажи докажите доказать доказательство выведи выведите теорема теорему
доведи доведіть довести доказ
bizonyítsd bizonyítsa igazold vezesd
demonstrează demonstrați teoremă
bevisa bevis härled bevis udled utled bevise
todista todistus johda
kanıtla kanıtlayın kanıtlayınız kanıtı ispatla ispatlayın ispat türet
απόδειξε αποδείξτε απόδειξη θεώρημα
докажи докажете
dokaži dokažite dokaz
buktikan bukti teorema lema lemme lemma bổ định teoreem teorēmu teoremą izrek izreka vetu větu lause sats tétel tételt sætning twierdzenia леммы лемму теоремы
įrodyk pierādi tõesta dokáž dokážte مبرهنة قضیه משפט উপপাদ্য
thibitisha
أثبت برهن اثبت استنتج نظرية
הוכח הוכיחו הוכחה
ثابت اثبات
सिद्ध साबित प्रमाणित प्रमाण सिद्धांत प्रमेय उपपाद्य
প্রমাণ
""")

MATHS: Final = _words("""
integral integrals derivative derivatives limit polynomial polynomials matrix matrices eigenvalue eigenvalues vector prime primes
modulo modular logarithm sine cosine tangent equation equations differential integer integers real complex function functions
convex continuous differentiable probability random variance expected permutation permutations combinatorics bijection isomorphic
isomorphism homomorphism group groups ring field fields graph graphs vertex vertices edges topology topological manifold compact
finite infinite cardinality series converges diverges convergence asymptotic bound bounds inequality triangle circle radius
angle hypotenuse divisible divisor divisors remainder factorial binomial coefficient roots root quadratic algebra algebraic
integrate diagonalise diagonalize factorise factorize solvable uniqueness sqrt sin cos tan log exp minimise minimize maximise
maximize bijective surjective injective abelian cyclic subgroup ideal orthogonal determinant nilpotent harmonic
geometric geometry calculus stochastic markov bayesian fourier laplace gradient hessian lagrangian entropy
gleichung integral primzahl primzahlen wahrscheinlichkeit équation intégrale nombres premiers probabilité ecuación primos
probabilidad equazione primi probabilità уравнение простых вероятность równanie pierwszych liczb rovnice
""")

DESIGN: Final = _words("""
design architect implement implementing refactor optimise optimize migrate devise engineer formulate
entwirf entwerfe entwerfen entwickle konzipiere implementiere optimiere
conçois concevoir concevez implémente implémenter optimise optimiser
diseña diseñar diseñe implementa implementar optimiza optimizar elabora
progetta progettare implementa implementare ottimizza
projete projetar desenhe implemente otimize
ontwerp ontwerpen implementeer optimaliseer
zaprojektuj zaimplementuj zoptymalizuj
navrhni navrhněte implementuj optimalizuj
спроектируй спроектируйте реализуй реализуйте оптимизируй разработай
спроєктуй розроби реалізуй проектирай реализирай osmisli implementiraj
tervezz tervezd implementáld proiectează implementează
utforma designa implementera optimera utform suunnittele toteuta optimoi
tasarla uygula σχεδίασε υλοποίησε rancang implementasikan صمم תכנן
""")

SYSTEMS: Final = _words("""
architecture scalable throughput distributed concurrent concurrency consensus protocol replication sharding latency consistency
idempotent exactly-once fault-tolerant failover deadlock lock-free transactional microservice microservices pipeline kubernetes
compiler parser kernel scheduler algorithm algorithms data-structure complexity np-hard np-complete heuristic debug optimization optimisation
diagnose profile benchmark specification verification invariants security threat-model cryptographic encryption lock linearizable
crdt allocator garbage collector async multithreaded quantised partition byzantine raft paxos btree b-tree bytecode
architektur arquitectura architettura arquitetura архитектура verteiltes verteilte distribuido distribuida distribuito distribuído
réparti répartie rozproszony распределённую distribuovaný
""")

ANALYSE: Final = _words("""
analyse analyze analysis compare contrast critique critically evaluate assess argue argument justify implications trade-offs
tradeoffs trade-off strategy strategic comprehensive in-depth detailed thorough thoroughly essay hypothesis methodology
synthesise synthesize interpret reconcile quantify estimate forecast model simulate consequences assumptions limitations
framework explain why how evidence causes factors derive
analysiere vergleiche bewerte begründe erörtere strategie
analyse analyser compare comparer évalue critique justifie stratégie
analiza analizar compara comparar evalúa justifica estrategia
analizza confronta valuta giustifica strategia
analise compare avalie justifique estratégia
analyseer vergelijk beoordeel
przeanalizuj porównaj oceń uzasadnij
analyzuj porovnej zhodnoť
проанализируй сравни оцени обоснуй
""")

CALCULATE: Final = _words("""
integrate differentiate solve compute evaluate determine classify characterise characterize minimise minimize maximise maximize diagonalise
diagonalize factorise factorize simplify calculate berechne bestimme löse calcule résous calcula resuelve calcola risolvi bereken oblicz
rozwiąż vypočítej vyřeš вычисли найди реши обчисли розв'яжи beräkna lös laske ratkaise számítsd oldd hesapla çöz υπολόγισε λύσε
""")

CODE: Final = _words("""
python javascript typescript java rust golang kotlin swift haskell php perl ruby bash shell sql regex html css api json yaml xml
function class method script program code coding snippet library framework compile compiler runtime exception stack array list
string int float boolean loop recursion recursive pointer struct template async await thread query database docker git react
django flask pandas numpy tensorflow pytorch cuda opengl metal assembly verilog vhdl matlab excel vba powershell linux
""")

STEPS: Final = _words("""
each every per total altogether twice thrice half third quarter double triple times more less fewer than left remaining remain
remains rest average percent percentage cost costs price pay paid spend spent spends earn earns earned sell sold buy bought
dozen dozens hour hours minute minutes day days week weeks month months year years miles feet inches pounds dollars cents
if then after before first second next later how many much increase decrease ratio
""")

LOGIC: Final = _words("""
if unless only all some none every exactly least most neither either nor must cannot necessarily implies therefore suppose
assume given such that whether consider let statement statements true false consistent sufficient necessary
""")

NEGATION: Final = _words("not except never no least incorrect false isn't doesn't cannot unlikely without")

CONSTRAINT: Final = _words("""
must without using only exactly least most ensure including include should constraint constraints requirement requirements
while given subject handle support avoid strictly
""")

SCIENCE: Final = _words("""
atom molecule enzyme protein dna rna cell cells membrane reaction equilibrium acid base oxidation electron electrons proton
photon wavelength frequency velocity acceleration force momentum energy mass pressure temperature volume entropy enthalpy
voltage current resistance circuit magnetic field charge capacitor lens mole moles molar solution concentration kinetic
potential gravity orbit quantum isotope half-life gene allele genotype phenotype
""")

EVERYDAY: Final = _words("""
light lights lamp lamps door doors window windows alarm timer music song volume temperature thermostat weather kitchen bedroom
living room garage turn switch set play stop open close lock unlock dim remind reminder call text list shopping calendar
""")

CREATIVE: Final = _words("poem limerick haiku story joke song lyrics slogan caption greeting toast riddle rhyme")

QUANTITIES: Final = _words("""
two three four five six seven eight nine ten eleven twelve fifteen twenty thirty forty fifty sixty hundred thousand
half third quarter twice thrice double triple dozen pair first second
""")

GROUPS: Final = {
    "proof": PROOF,
    "maths": MATHS,
    "design": DESIGN,
    "systems": SYSTEMS,
    "analyse": ANALYSE,
    "code": CODE,
    "steps": STEPS,
    "logic": LOGIC,
    "negation": NEGATION,
    "constraint": CONSTRAINT,
    "science": SCIENCE,
    "everyday": EVERYDAY,
    "creative": CREATIVE,
}

SHOW_THAT: Final = {
    verb: _words(then)
    for verbs, then in (
        ("show demonstrate verify argue justify establish", "that there why"),
        ("with a the its and or sketch full", "proof justification"),
        ("zeige zeig zeigen zeigt", "dass daß sie"),
        ("montre montrer montrez", "que qu'il qu'on qu'une qu'un pourquoi"),
        ("muestra muestre mostre", "que"),
        ("mostra mostrare", "che que"),
        ("toon", "aan dat"),
        ("ukaž ukažte", "že"),
        ("покажи покажите", "что че"),
        ("покажіть", "що"),
        ("visa vis", "att at"),
        ("mutasd", "meg"),
        ("olduğunu", "göster gösterin gösteriniz"),
        ("δείξε δείξτε", "ότι"),
        ("بين", "أن"),
        ("दिखाइए दिखाओ", "कि"),
        ("chứng", "tỏ minh"),
        ("tunjukkan", "bahwa"),
    )
    for verb in verbs.split()
}
"""Asks to show why something holds, where no word alone says so: a word, and what follows it."""

# Chinese, Japanese, Korean, Thai: no spaces, or endings glued on.
UNSPACED: Final = re.compile(
    r"(?=[จทปพวสอเをア优優分反定实実實导導归微推收方最权架概権比矩確示积積算素级行設証評論證论设证评質质重구방보분비설소알유적정증최평확])(?:"
    r"(?P<proof>证明|證明|証明|推导|推導|导出|導出|定理|归纳法|反证|증명|유도하|정리를|พิสูจน์|ทฤษฎีบท|示せ|を示して|보여라|보이시오)"
    r"|(?P<design>设计|設計|实现|實現|実装|架构|架構|优化|優化|最適化|重构|算法|アルゴリズム|분산|설계|구현|최적화|알고리즘|ออกแบบ|อัลกอริทึม)"
    r"|(?P<analyse>分析|比较|比較|评估|評価|论证|論証|権衡|权衡|비교|분석|평가|วิเคราะห์|เปรียบเทียบ)"
    r"|(?P<maths>积分|積分|微分|方程|方程式|素数|質數|质数|概率|確率|矩阵|行列|级数|收敛|적분|방정식|소수|확률|ปริพันธ์|สมการ|จำนวนเฉพาะ))"
)

_POLITE: Final = r"""
please|pls|plz|kindly|(?:hi|hello|hey)(?:\ (?:there|again|everyone|assistant|friend|buddy))?|dear\ \w+|good\ (?:morning|afternoon|evening)|thanks(?:\ in\ advance)?
|excuse\ me|sorry\ to\ (?:bother|disturb)\ you(?:\ again)?(?:,?\ but)?|ok(?:ay)?|so|um+|uh+|well|alright
|(?:can|could|would|will)\ you\ (?:please|kindly)|would\ you\ mind|i\ would\ like\ you\ to|i'd\ like\ you\ to|i\ want\ you\ to|i\ need\ you\ to
|i\ was\ wondering(?:\ if\ you\ could)?|if\ you\ don't\ mind|when\ you\ have\ (?:a\ moment|time)|could\ you\ help\ me(?:\ with\ this)?|help\ me\ with\ this|quick\ one
|bitte|hallo|guten\ (?:morgen|tag|abend)|s'il\ (?:te|vous)\ pla[iî]t|svp|bonjour|salut|por\ favor|hola|buenos\ d[ií]as|per\ favore|ciao|olá|oi
|alstublieft|alsjeblieft|hoi|proszę|cześć|prosím|ahoj|пожалуйста|привет|здравствуйте|vänligen|hej|kérlek|szia|lütfen|merhaba|παρακαλώ|γεια|请|請|你好|您好|お願いします|こんにちは
"""

_SEPARATOR: Final = r"[\s,.:;!?…—–-]"

CLAIM_CORE: Final = _words("""
easy simple trivial quick tiny small short little basic dumb silly stupid hard hardest tough difficult difficulty complex complicated tricky
challenging challenge advanced urgent important deep carefully deeply think thinking reasoning reason effort expert phd model smartest favour favor
question puzzle minute second lol step effortless child's kindergarten obvious straightforward
einfache einfach leichte kleine kurze schwierige schwere komplexe frage aufgabe facile simple difficile complexe question petite
fácil difícil sencilla simple compleja pregunta pequeña pergunta facile difficile semplice domanda complessa moeilijke makkelijke vraag
простой сложный лёгкий трудный вопрос łatwe trudne pytanie těžká snadná otázka
""")
"""Words of which a claim about the question itself ("very hard one!") has at least one."""

CLAIM_FILL: Final = _words("""
this is it it's that's a an the my your you i have need needs require requires here here's just only really very extremely highly super so
quite most totally absolutely incredibly rather pretty and but or for of to be should would will not nothing no one yes please use using
with take best powerful strongest biggest largest available level maximum max full long hard time task request problem thing exercise all
by in at ever seen me answer give get got ask asking let let's kind sort us quickly well
eine ein das ist sehr nur ganz mal une un c'est très juste muy una es solo uma muito só molto è heel een это очень bardzo to velmi je
""")
"""What else such a claim may consist of."""

LEADING: Final = re.compile(
    rf"\A(?:{_SEPARATOR})*+(?:{_POLITE})(?=[\s,.:;!?，。！：]|\Z)(?:{_SEPARATOR}|[，。！：])*(?=\S)",
    re.IGNORECASE | re.VERBOSE,
)

CARRIERS: Final = _words("""
solve answer do complete respond reply handle address help me with this that these those it the a an my your following below above attached
question questions problem problems task tasks request exercise exercises prompt message query input user instruction instructions please and
can could would will you one here is are to of on for now x q s work out assignment homework challenge asks says said text quote
löse beantworte antworte folgende folgendes folgenden frage aufgabe das die diese dieses bitte hier ist mir bei hilf anfrage
résous réponds répondez à cette ce question suivante exercice le la voici aide moi tâche demande
resuelve responde esta este pregunta siguiente ejercicio la el aquí está tarea problema solicitud contesta ayúdame con
risolvi rispondi questa questo domanda seguente esercizio problema ecco compito richiesta
resolva responda esta este pergunta seguinte exercício problema tarefa pedido
los beantwoord deze dit vraag volgende opgave probleem opdracht
rozwiąż odpowiedz na to pytanie następujące zadanie problem
vyřeš odpověz na tuto otázku následující úloha úkol
lös svara på denna fråga följande uppgift løs svar dette spørgsmål spørsmål opgave oppgave følgende
ratkaise vastaa tämä tähän kysymys kysymykseen tehtävä seuraava oldd meg válaszolj kérdés kérdésre feladat következő ezt
rezolvă răspunde întrebare întrebarea problema următoarea çöz cevapla soru soruyu bunu şu aşağıdaki λύσε απάντησε ερώτηση αυτό πρόβλημα
реши решите ответь ответьте на этот вопрос следующий задача задачу это розв'яжи дай відповідь питання завдання це
حل أجب عن هذا السؤال التالي المسألة פתור ענה על השאלה הבאה זה हल करो करें उत्तर दो दें यह प्रश्न निम्नलिखित
解答 回答 问题 問題 解决 请 以下 下面 这个 请回答 请解答 回答以下问题 解いて 答えて 質問 次の 次の質問に答えて 次の問題を解いて 풀어 풀어줘 답해줘 질문 다음 문제
giải trả lời câu hỏi này sau bài toán jawab soal pertanyaan ini berikut selesaikan ตอบ แก้ คำถาม โจทย์
""")
"""Words that announce a question and say nothing of it."""

_EASY: Final = r"""
translate|summari[sz]e|proof-?read|paraphrase|rephrase|reword|condense|shorten|spell-?check|tl;?dr|transcribe|transliterate|capitali[sz]e
|(?:correct|fix|check|improve)\ (?:the\ )?(?:spelling|grammar|typos?|punctuation)|(?:count|how\ many)\ (?:the\ )?(?:words|letters|characters|sentences)
|(?:repeat|copy|echo|read\ (?:out|aloud))|(?:write|give\ me|make)\ (?:me\ )?a\ (?:short\ |brief\ )?(?:summary|translation)|(?:which|what)\ language\ is
|übersetze?n?|übersetzt|fasse|fass|korrigiere?|formuliere|kürze|traduis(?:ez)?|traduire|résume[zr]?|corrige[zr]?|reformule[zr]?|traduce|traducir|traduzca|resume|resumir|resuma
|reformula|traduci|riassumi|correggi|traduz(?:a|ir)?|resumir|vertaal|vat|corrigeer|przetłumacz|streść|popraw|přelož(?:te)?|shrň(?:te)?|oprav(?:te)?|översätt|sammanfatta|rätta
|oversæt|oversett|opsummer|oppsummer|ret|rett|käännä|tiivistä|korjaa|fordítsd|foglald|javítsd|tradu|rezumă|corectează|çevir|özetle|düzelt|μετάφρασε|συνόψισε|διόρθωσε
|переведи(?:те)?|перескажи|кратко|исправь|резюмируй|переклади|підсумуй|виправ|ترجم|لخص|صحح|תרגם|סכם|תקן|अनुवाद|सारांश|অনুবাদ
|翻译|翻譯|总结|總結|概括|校对|把|将|翻訳|要約|번역|요약|dịch|tóm\ tắt|terjemahkan|ringkas|แปล|สรุป
"""

EASY_ORDER: Final = re.compile(
    rf"""\s*+(?:{_EASY})(?!.{{0,60}}\b(?:code|function|program|script|python|rust|java|sql|proof)\b)
    (?:[^:：\n.!?]{{0,70}}[:：]
    |[^:：\n.!?]{{0,70}}\b(?:text|following|below|sentence|paragraph|passage|folgenden?|suivant|siguiente|seguente|volgende)\b[^:：\n.!?]{{0,40}}[.\n]
    |[^:：\n.!?]{{0,70}}\n)""",
    re.IGNORECASE | re.VERBOSE,
)
"""The order to do something easy with a text, whatever that says, up to where the text begins."""

EASY_ABOVE: Final = re.compile(
    rf"""\s*+(?:(?:please|now|can\ you|could\ you|bitte)\ )?(?:{_EASY})[^:：\n]{{0,60}}?
    (?:above|this|that|the\ (?:text|passage|paragraph|sentence|mail|e-?mail|letter|message)|text|diesen|obigen|oben|ci-dessus|anterior|sopra|hierboven)""",
    re.IGNORECASE | re.VERBOSE,
)
"""The same after the text."""

_MARKS: Final = r"\s,.;:!?()—–-"
_CJK_MARKS: Final = r"\s,.!，。！"

TRAILING: Final = re.compile(
    rf"""(?:(\A\s*+[{_MARKS}]|(?<=[^{_MARKS}]))[{_MARKS}]+(?:
    (?:many\ )?thanks?(?:\ (?:you|a\ lot|so\ much|very\ much|in\ advance|again|a\ bunch|a\ million))*
    |thank\ you(?:\ (?:so\ much|very\ much|in\ advance|for\ your\ (?:help|time)))?|thx|ty|cheers|please|pls|plz|ta
    |(?:best|kind|warm|many)?\ ?(?:regards|wishes),?(?:\s++\w++){{0,3}}|(?:best|cheers|sincerely|yours(?:\ truly)?|thanks),\s++\w++(?:\s\w++)?
    |(?:i\ need\ (?:this|it)|(?:it|this)\ is\ needed)\ (?:now|today|quickly|soon|fast)
    |(?:i\ need\ (?:this|it)\ |please\ answer\ |answer\ )?(?:asap|as\ soon\ as\ possible|a\.s\.a\.p|right\ away)
    |(?:it's|it\ is|this\ is)\ (?:very\ )?urgent|urgent|take\ your\ time|let\ me\ know|i\ (?:would\ |will\ )?(?:really\ )?appreciate\ (?:it|your\ help|any\ help)
    |much\ appreciated|hope\ you\ can\ help|any\ help\ (?:is|would\ be)\ appreciated
    |sent\ from\ my\ [\w\s]{{2,24}}|--++\s*+\w++(?:\s\w++){{0,3}}|[—–]\s*+\w++(?:\s\w++)?
    |bitte|danke(?:\ schön)?|vielen\ dank|merci(?:\ (?:beaucoup|d'avance))?|s'il\ (?:te|vous)\ pla[iî]t|svp|gracias|por\ favor|grazie|per\ favore|obrigad[oa]
    |bedankt|alsjeblieft|alstublieft|dzięki|proszę|díky|prosím|спасибо|пожалуйста|дякую|tack|takk|tak|kiitos|köszönöm|teşekkürler|lütfen|ευχαριστώ|terima\ kasih
    )|(\A\s*+[{_CJK_MARKS}]|(?<=[^{_CJK_MARKS}]))[{_CJK_MARKS}]*(?:谢谢|謝謝|ありがとう(?:ございます)?|お願いします|감사합니다|고마워))[\s.!,;:)]*+\Z""",
    re.IGNORECASE | re.VERBOSE,
)
"""Thanks and signatures at the end, with the marks before them: those of a text that is nothing but marks before it but for the first
one, which is group 1 or 2. It begins where a run of marks does and nowhere within one, so that each run is gone through once."""

LAST_WORDS: Final = tuple(
    sorted(
        _words("""
thank thanks you lot much advance again bunch million help time thx ty cheers please pls plz ta now today quickly soon fast asap
possible a.s.a.p away urgent know it appreciated bitte danke dank merci beaucoup avance plait svp gracias favor grazie favore obrigado
obrigada bedankt alsjeblieft alstublieft tack takk tak kiitos kasih
""")
    )
)
"""How an ASCII text ends that TRAILING matches, but for marks, and unless it ends with a name."""

BEFORE_A_NAME: Final = (
    "regards",
    "wishes",
    "best,",
    "cheers,",
    "sincerely,",
    "yours,",
    "truly,",
    "thanks,",
    "sent from my ",
    "--",
)
"""What TRAILING wants in an ASCII text that ends with a name."""

CLOSINGS: Final = frozenset(
    line.strip()
    for line in """
    ok|okay|okey|k|kk|yes|no|yep|nope|yeah|sure|fine|great|perfect|nice|cool|good|awesome|wow|lol|haha|got it|i see|understood|makes sense
    thanks|thank you|thx|ty|cheers|much appreciated|that's all|that is all|never mind|nevermind|bye|goodbye|see you|good night|goodnight
    hello|hi|hey|hello there|hi there|good morning|good evening|good afternoon|how are you|what's up|test|ping
    danke|danke schön|vielen dank|super|alles klar|tschüss|hallo|guten morgen|gute nacht|ja|nein|genau|gut
    merci|merci beaucoup|d'accord|parfait|salut|bonjour|bonsoir|au revoir|oui|non|bonne nuit|super merci
    gracias|muchas gracias|vale|perfecto|hola|adiós|buenas noches|buenos días|sí|si|de acuerdo
    grazie|grazie mille|ciao|perfetto|va bene|buonanotte|buongiorno|obrigado|obrigada|muito obrigado|perfeito|tchau|bom dia|boa noite|olá
    bedankt|dank je|dank je wel|dankjewel|oké|hoi|doei|goed|prima|dzięki|dziękuję|cześć|dobranoc|děkuji|díky|dobře|ahoj
    спасибо|большое спасибо|хорошо|понятно|привет|пока|ясно|да|нет|дякую|привіт|добре|благодаря|хвала|hvala|hvala lijepa
    tack|tack så mycket|tak|takk|mange takk|tusen takk|kiitos|kiitos paljon|köszönöm|köszi|szia|mulțumesc|multumesc|teşekkürler|teşekkür ederim|sağ ol|merhaba|tamam
    ευχαριστώ|ευχαριστώ πολύ|γεια|εντάξει|שלום|תודה|תודה רבה|شكرا|شكراً|شكرا جزيلا|مرحبا|ممنون|مرسی|धन्यवाद|शुक्रिया|नमस्ते|ধন্যবাদ
    谢谢|謝謝|谢谢你|好的|好|你好|再见|ありがとう|ありがとうございます|どうも|了解|こんにちは|감사합니다|고마워|고맙습니다|안녕하세요|네|ขอบคุณ|ขอบคุณครับ|ขอบคุณค่ะ|สวัสดี
    cảm ơn|cám ơn|xin chào|terima kasih|makasih|halo|salamat|asante|dankie|aitäh|paldies|ačiū|takk fyrir|go raibh maith agat|diolch|eskerrik asko|gràcies
    """.replace("\n", "|").split("|")
    if line.strip()
)

CLOSING: Final = re.compile(
    r"(?:(?:ok(?:ay)?|great|perfect|nice|cool|super|awesome|wow|alright|good|got it|yes|no|ah|oh|thanks|thank you|thx|cheers|danke|merci|gracias|grazie"
    r"|that|this|it|was|is|works?|helps?|helped|very|really|so|much|a lot|lot|all|for|now|then|the|your|you|help|explanation|answer|again|i|understand|and"
    r"|have|day|one|bye|makes?|sense|clear|appreciated?|we're|we are|done|exactly|what|needed|wanted|just|beautiful|brilliant|excellent|amazing|fantastic|wonderful|vielen dank|beaucoup|muchas|mille)"
    r"[\s,.!;:'-]*){1,12}"
)

FOLLOW_UP: Final = re.compile(
    r"""(?:and|but|also|then|so|or|what\ about|how\ about|why|how\ so|how\ come|really|are\ you\ sure|what\ if|same|again|continue|go\ on|more|next|another|now
    |in\ more|more\ details?|elaborate|expand|explain\ (?:more|further|again|it|that|this|step)|can\ you\ (?:elaborate|expand|explain|generali[sz]e|simplify|redo|repeat|do\ (?:it|that|the\ same))|show\ (?:me\ )?(?:more|the\ steps|your\ work|that|it)
    |simplify|shorter|longer|generali[sz]e|for\ example|give\ (?:me\ )?(?:an(?:other)?\ )?(?:example|counterexample|more)|does\ (?:it|that|this)|is\ (?:it|that|this)|could\ (?:it|that)|would\ (?:it|that)|prove\ it|which\ one|in\ general|without\ using
    |und|aber|warum|wieso|was\ ist\ mit|weiter|mehr|genauer|noch|et|mais|pourquoi|et\ si|continue|encore|plus|y|pero|por\ qué|porqué|qué\ pasa|continúa|más|e|ma|perché|continua|ancora|e\ se|mas|por\ que|mais
    |en|maar|waarom|meer|a|ale|i|dlaczego|proč|и|а|но|почему|ещё|еще|дальше|och|men|varför|og|hvorfor|ja|mutta|miksi|és|de|miért|ve|peki|neden|ama|και|γιατί|dan|kenapa|mengapa|và|tại\ sao)
    (?=[\s,.?!:;']|\Z)
    |为什么|那|那么|还有|然后|继续|なぜ|では|じゃあ|それ|そして|続けて|왜|그럼|그리고|계속|ทำไม|แล้ว|और|क्यों|لماذا|و|למה|ומה""",
    re.VERBOSE,
)

REFERS: Final = re.compile(
    r"(?:^|\s)(?:it|that|this|these|those|them|they|above|previous|former|latter|same|your answer|your proof|step \d+|das|dies|davon|dafür|cela|ça|eso|esto|questo|isso|isto|dat|dit|tego|это|этого|этот)(?=[\s,.?!:;']|$)"
)
