# ruff: noqa: RUF001, SIM905 - other scripts' letters and punctuation are data here, and lists of words are read best as such
"""Whether a message says that the answer before it was wrong, in any of some 30 languages.

Tables of what people say, and no more: a message counts where it begins with such words and goes no other way, so that "what is
wrong with my car?" is a question. Linear in the little that is looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from types import MappingProxyType
from typing import Final

_LOOKED_AT: Final = 200
"""Characters of a message that tell a complaint: it comes first, and is short."""

_MOST_CLAUSES: Final = 3
_MOST_WORDS: Final = 8
_CLAUSE: Final = re.compile(r"([^.,!?;:\n。，！？；：、…—–()।،؟؛]+)([.,!?;:\n。，！？；：、…—–()।،؟؛]*)")
_QUOTED: Final = ('"', "'", "“", "„", "«", "「", "『", ">", "`")

_SAID: Final[Mapping[str, tuple[tuple[tuple[str, str], ...], str]]] = MappingProxyType({
    "en": (
        (("that is|that's|thats|this is|it is|it's|your answer is|the answer is|that answer is|this answer is|your result is|the result is|you are|you're|that was|it was|still|your code is|the code is|this one is|that one is|your calculation is|your solution is|the solution is|the date is|the number is|your translation is|the translation is",
          "wrong|incorrect|not right|not correct|not true|false|nonsense|rubbish|wrong again|totally wrong|completely wrong|just wrong|simply wrong|still wrong|still not right|still incorrect|not what i asked|not what i asked for|not what i meant|not what i wanted|not what i said|not the right one|not the right answer|not it|not working|no good|useless|mistaken|a mistake|an error|unhelpful|not helpful|the wrong one|the wrong answer|the wrong light|the wrong room"),
         ("that|it|this|your code|the code|your solution|the solution|your answer|still", "did not work|didn't work|does not work|doesn't work|doesnt work|is not working|isn't working|isn't right|isn't correct|isn't true|isn't what i asked|isn't what i asked for|isn't what i meant|isn't what i wanted|wasn't right|wasn't correct|wasn't what i asked|wasn't what i asked for|does not answer my question|doesn't answer my question|makes no sense|still doesn't work|still does not work")),
        "wrong|incorrect|wrong answer|wrong again|wrong one|not right|not correct|not true|try again|check again|check that again|check it again|double check|double check that|recheck|think again|look again|do it again|redo it|redo that|you misunderstood|you misunderstood me|you got it wrong|you got that wrong|you made a mistake|you made an error|i didn't ask for that|i did not ask for that|i didn't ask that|i did not say that|i didn't say that|i meant something else|are you sure|are you sure about that|are you really sure|doesn't work|didn't work|not working|nothing happened|that's not how it works|you're wrong|you are wrong|bad answer|terrible answer",
    ),
    "de": (
        (("das ist|das war|es ist|die antwort ist|deine antwort ist|ihre antwort ist|das ergebnis ist|dein code ist|der code ist|die lösung ist|immer noch|du liegst",
          "falsch|nicht richtig|nicht korrekt|verkehrt|unsinn|quatsch|nicht wahr|ein fehler|total falsch|völlig falsch|leider falsch|immer noch falsch|nicht das was ich wollte|nicht was ich wollte|nicht was ich meinte|nicht das was ich meinte|nicht was ich gefragt habe|nicht das richtige|das falsche|die falsche|daneben"),
         ("das|es|die antwort|dein code|der code|die lösung", "stimmt nicht|stimmt so nicht|stimmt doch nicht|stimmt leider nicht|stimmt immer noch nicht|funktioniert nicht|geht nicht|funktioniert immer noch nicht|geht immer noch nicht|hat nicht funktioniert|hat nicht geklappt|klappt nicht|klappt immer noch nicht|passt nicht|war nicht meine frage|ergibt keinen sinn|meinte ich nicht|habe ich nicht gefragt|wollte ich nicht")),
        "falsch|stimmt nicht|nicht richtig|falsche antwort|versuch es noch einmal|versuche es noch einmal|versuch es nochmal|versuchs nochmal|noch einmal bitte|nochmal prüfen|prüf das noch einmal|prüfe das noch einmal|überprüfe das|überprüf das|schau noch einmal|schau nochmal nach|rechne noch einmal|rechne nochmal|du hast mich falsch verstanden|sie haben mich falsch verstanden|du irrst dich|sie irren sich|du hast dich geirrt|du hast dich vertan|da ist ein fehler|bist du sicher|bist du dir sicher|sind sie sicher|es ist nichts passiert|funktioniert nicht|geht nicht",
    ),
    "fr": (
        (("c'est|ce n'est|c'était|la réponse est|ta réponse est|votre réponse est|le résultat est|ton code est|toujours", "faux|pas ça|pas correct|incorrect|pas juste|pas bon|une erreur|pas vrai|n'importe quoi|complètement faux|toujours faux|pas ce que j'ai demandé|pas ce que je voulais|pas ce que je demandais|pas la bonne réponse|erroné|erronée|fausse|incorrecte"),
         ("ça|cela|le code|ton code", "ne marche pas|ne fonctionne pas|marche pas|n'a pas marché|n'a pas fonctionné|ne va pas|ne marche toujours pas|n'est pas correct|n'est pas juste|n'est pas ce que j'ai demandé")),
        "faux|incorrect|mauvaise réponse|pas correct|réessaie|réessayez|essaie encore|essayez encore|vérifie encore|vérifie|vérifiez|vérifie à nouveau|tu te trompes|vous vous trompez|tu t'es trompé|tu as fait une erreur|vous avez fait une erreur|tu m'as mal compris|vous m'avez mal compris|tu n'as pas compris|vous n'avez pas compris|tu es sûr|tu en es sûr|êtes-vous sûr|es-tu sûr|il ne s'est rien passé|rien ne s'est passé",
    ),
    "es": (
        (("eso es|esto es|eso está|esto está|está|es|la respuesta es|tu respuesta es|el resultado es|sigue siendo", "incorrecto|incorrecta|mal|falso|falsa|un error|erróneo|errónea|equivocado|equivocada|mentira|totalmente falso|completamente falso"),
         ("eso|esto|el código|tu código|la respuesta", "no es correcto|no es cierto|no es verdad|no es así|no es lo que pedí|no es lo que te pedí|no es lo que quería|no está bien|no funciona|no funcionó|no ha funcionado|no sirve|no es correcta|no tiene sentido|sigue sin funcionar|no es lo que pregunté")),
        "incorrecto|respuesta incorrecta|mal|no es correcto|no es eso|no es cierto|no es verdad|no funciona|no funcionó|inténtalo de nuevo|inténtelo de nuevo|intenta de nuevo|prueba otra vez|compruébalo otra vez|compruébalo de nuevo|revísalo|revísalo de nuevo|vuelve a comprobarlo|vuelve a intentarlo|te equivocas|te has equivocado|te equivocaste|se equivoca|estás equivocado|me has entendido mal|me entendiste mal|no me has entendido|no me entendiste|cometiste un error|has cometido un error|estás seguro|estás segura|está seguro|seguro|no pasó nada|no ha pasado nada",
    ),
    "it": (
        (("questo è|ciò è|è|la risposta è|la tua risposta è|il risultato è|è ancora", "sbagliato|sbagliata|errato|errata|falso|falsa|un errore|scorretto|scorretta|completamente sbagliato"),
         ("questo|questa|il codice|la risposta", "non è corretto|non è giusto|non è vero|non è corretta|non è quello che ho chiesto|non è quello che volevo|non è ciò che ho chiesto|non funziona|non ha funzionato|non va bene|ancora non funziona")),
        "sbagliato|errato|risposta sbagliata|non è corretto|non è giusto|non è vero|non è così|non funziona|non ha funzionato|riprova|prova di nuovo|prova ancora|controlla di nuovo|ricontrolla|verifica di nuovo|ti sbagli|ti stai sbagliando|ti sei sbagliato|hai sbagliato|hai fatto un errore|mi hai frainteso|non hai capito|non mi hai capito|non era questo|non intendevo questo|sei sicuro|sei sicura|ne sei sicuro|non è successo niente|non è successo nulla",
    ),
    "pt": (
        (("isso é|isto é|isso está|isto está|está|a resposta está|a sua resposta está|sua resposta está|o resultado está|continua", "errado|errada|incorreto|incorreta|falso|mentira|um erro|mal|completamente errado"),
         ("isso|isto|o código|a resposta", "não está certo|não está correto|não é verdade|não é o que eu pedi|não é o que pedi|não é o que eu queria|não funciona|não funcionou|não é isso|ainda não funciona|não faz sentido|não está certa")),
        "errado|incorreto|resposta errada|não está certo|não está correto|não é isso|não é verdade|não funciona|não funcionou|tente novamente|tenta de novo|tente de novo|tenta outra vez|verifique novamente|verifica de novo|verifica outra vez|confira de novo|você está errado|você errou|estás errado|enganaste-te|você se enganou|você me entendeu mal|você não entendeu|não entendeste|não foi isso que eu pedi|tem certeza|você tem certeza|tens a certeza|não aconteceu nada",
    ),
    "nl": (
        (("dat is|dit is|het is|het antwoord is|je antwoord is|jouw antwoord is|uw antwoord is|nog steeds", "fout|verkeerd|niet juist|niet goed|niet waar|niet correct|onjuist|onzin|een fout|helemaal fout|niet wat ik vroeg|niet wat ik bedoelde|niet wat ik wilde"),
         ("dat|dit|het|de code", "klopt niet|werkt niet|werkt nog steeds niet|klopt nog steeds niet|heeft niet gewerkt|bedoelde ik niet|vroeg ik niet|slaat nergens op")),
        "fout|verkeerd|onjuist|klopt niet|fout antwoord|verkeerd antwoord|probeer opnieuw|probeer het opnieuw|probeer het nog eens|probeer nog eens|controleer dat nog eens|controleer het nog eens|kijk nog eens|je hebt het fout|je hebt het mis|u hebt het mis|je vergist je|je begrijpt me verkeerd|je hebt me verkeerd begrepen|weet je het zeker|weet je dat zeker|weet u het zeker|er is niets gebeurd|werkt niet",
    ),
    "pl": (
        (("to jest|to|to było|odpowiedź jest|twoja odpowiedź jest|wynik jest|nadal jest|to nadal", "źle|błędne|nieprawda|nieprawidłowe|niepoprawne|błąd|błędna|niepoprawna|nieprawidłowa|bzdura|nie to|nie tak|nie to o co prosiłem|nie to o co pytałem|nie to o co mi chodziło|nie jest prawda|nie jest poprawne|nie jest prawidłowe|nie działa|nie zadziałało|nadal nie działa|się nie zgadza"),),
        "źle|błąd|nieprawda|błędna odpowiedź|zła odpowiedź|nie zgadza się|nie działa|nadal nie działa|spróbuj ponownie|spróbuj jeszcze raz|sprawdź ponownie|sprawdź jeszcze raz|sprawdź to jeszcze raz|policz jeszcze raz|mylisz się|pomyliłeś się|popełniłeś błąd|źle mnie zrozumiałeś|nie zrozumiałeś|nie o to mi chodziło|nie o to prosiłem|nie o to pytałem|jesteś pewien|jesteś pewna|na pewno|nic się nie stało",
    ),
    "ru": (
        (("это|ответ|твой ответ|ваш ответ|результат|всё ещё|все еще|опять|снова", "неправильно|неверно|неправда|ошибка|неправильный|неверный|не так|не то|не верно|не правильно|не работает|чушь|бред|не сработало|не то что я просил|не то что я спрашивал|не то что я просила|не то что мне нужно|по-прежнему не работает"),),
        "неправильно|неверно|неправда|не то|не так|ошибка|неверный ответ|неправильный ответ|не работает|не сработало|попробуй ещё раз|попробуй еще раз|попробуйте ещё раз|попробуйте еще раз|проверь ещё раз|проверь еще раз|проверьте ещё раз|проверьте еще раз|перепроверь|перепроверьте|пересчитай|подумай ещё раз|подумай еще раз|ты ошибся|ты ошибаешься|вы ошиблись|вы ошибаетесь|ты не понял|ты меня не понял|вы меня не поняли|я не это имел в виду|я не об этом|ты уверен|вы уверены|ты уверена|ничего не произошло",
    ),
    "uk": (
        (("це|відповідь|твоя відповідь|ваша відповідь|результат|досі|знову", "неправильно|невірно|неправда|помилка|неправильна|невірна|не так|не те|не працює|дурниця|не те що я просив|не те що я питав|не спрацювало"),),
        "неправильно|невірно|неправда|не те|не так|помилка|неправильна відповідь|не працює|спробуй ще раз|спробуйте ще раз|перевір ще раз|перевірте ще раз|перевір|ти помилився|ти помиляєшся|ви помилилися|ви помиляєтесь|ти не зрозумів|ти мене не зрозумів|ви мене не зрозуміли|я не це мав на увазі|ти впевнений|ви впевнені|нічого не сталося",
    ),
    "cs": (
        (("to je|to bylo|odpověď je|tvoje odpověď je|výsledek je|pořád je to|stále je to", "špatně|chyba|nesprávně|nepravda|nesmysl|špatná|nesprávná"),
         ("to|kód", "není správně|není pravda|není to co jsem chtěl|nefunguje|nesedí|není dobře|pořád nefunguje|stále nefunguje")),
        "špatně|chyba|nesprávně|špatná odpověď|to ne|zkus to znovu|zkuste to znovu|zkontroluj to znovu|zkontroluj to|zkontrolujte to|mýlíš se|mýlíte se|spletl ses|udělal jsi chybu|nerozuměl jsi|nepochopil jsi mě|to jsem nemyslel|to jsem nechtěl|jsi si jistý|jste si jistý|nic se nestalo|nefunguje",
    ),
    "hu": (
        (("ez|az|a válasz|a válaszod|az eredmény|ez még mindig|még mindig", "rossz|hibás|helytelen|nem jó|nem igaz|nem helyes|nem így van|téves|nem működik|nem ez volt a kérdés|nem ezt kértem|nem ezt kérdeztem"),),
        "rossz|hibás|helytelen|nem jó|nem igaz|rossz válasz|nem működik|próbáld újra|próbálja újra|ellenőrizd újra|ellenőrizd|ellenőrizze újra|nézd meg újra|tévedsz|téved|tévedtél|félreértettél|nem értettél meg|nem ezt kértem|nem erre gondoltam|biztos vagy benne|biztos|nem történt semmi",
    ),
    "ro": (
        (("este|e|asta e|asta este|acesta este|răspunsul este|răspunsul e|tot", "greșit|incorect|fals|o greșeală|greșită|gresit"),
         ("asta|codul|acesta", "nu e corect|nu este corect|nu e adevărat|nu merge|nu funcționează|nu e ce am cerut|nu este ce am cerut|tot nu merge")),
        "greșit|gresit|incorect|răspuns greșit|nu e corect|nu este corect|nu merge|nu funcționează|încearcă din nou|mai încearcă|verifică din nou|verifică|te înșeli|ai greșit|m-ai înțeles greșit|nu ai înțeles|nu asta am cerut|nu asta am vrut|ești sigur|sigur|nu s-a întâmplat nimic",
    ),
    "sv": (
        (("det är|det var|det där är|svaret är|ditt svar är|fortfarande", "fel|inte rätt|inte sant|felaktigt|inte vad jag frågade|inte det jag frågade om|inte vad jag menade|inte vad jag ville|helt fel|inte korrekt"),
         ("det|koden", "stämmer inte|fungerar inte|funkar inte|fungerade inte|funkade inte|fungerar fortfarande inte")),
        "fel|fel svar|inte rätt|stämmer inte|försök igen|prova igen|kolla igen|kontrollera igen|kontrollera det igen|tänk om|du har fel|du missförstod|du missförstod mig|jag menade inte det|är du säker|är du säker på det|ingenting hände|det hände inget|fungerar inte",
    ),
    "da": (
        (("det er|det var|svaret er|dit svar er|stadig", "forkert|ikke rigtigt|ikke korrekt|ikke sandt|galt|ikke det jeg spurgte om|ikke det jeg mente|helt forkert"),
         ("det|koden", "passer ikke|virker ikke|virkede ikke|virker stadig ikke|stemmer ikke|fungerer ikke")),
        "forkert|forkert svar|ikke rigtigt|prøv igen|tjek igen|tjek det igen|kontroller igen|du tager fejl|du misforstod|du misforstod mig|er du sikker|er du sikker på det|der skete ikke noget|virker ikke|feil|feil svar|det er feil|prøv på nytt|sjekk igjen|prøv igjen|du tar feil|det stemmer ikke|det er ikke riktig|det virker ikke|det fungerer ikke",
    ),
    "fi": (
        (("se on|tuo on|tämä on|vastaus on|vastauksesi on|edelleen|yhä", "väärin|väärä|virheellinen|virhe|väärä vastaus"),
         ("se|tuo|tämä", "ei ole oikein|ei pidä paikkaansa|ei toimi|ei toiminut|ei ole totta|ei toimi vieläkään|ei ole se mitä pyysin")),
        "väärin|väärä vastaus|ei pidä paikkaansa|ei ole oikein|ei toimi|yritä uudelleen|yritä uudestaan|kokeile uudelleen|tarkista uudelleen|tarkista uudestaan|olet väärässä|erehdyit|ymmärsit väärin|en tarkoittanut sitä|oletko varma|mitään ei tapahtunut",
    ),
    "tr": (
        (("bu|o|cevap|cevabın|cevabınız|sonuç|hala|hâlâ|bu hala", "yanlış|doğru değil|hatalı|saçma|çalışmıyor|çalışmadı|istediğim bu değil|sorduğum bu değil|olmadı"),),
        "yanlış|yanlış cevap|doğru değil|hatalı|çalışmıyor|çalışmadı|olmadı|tekrar dene|tekrar deneyin|yeniden dene|tekrar kontrol et|tekrar kontrol edin|kontrol et|yanılıyorsun|yanılıyorsunuz|yanıldın|hata yaptın|beni yanlış anladın|beni yanlış anladınız|onu demek istemedim|onu sormadım|emin misin|emin misiniz|hiçbir şey olmadı",
    ),
    "el": (
        (("αυτό είναι|είναι|η απάντηση είναι|η απάντησή σου είναι|ακόμα", "λάθος|λανθασμένο|λανθασμένη|ψέμα|ανακριβές"),
         ("αυτό|ο κώδικας", "δεν είναι σωστό|δεν ισχύει|δεν δουλεύει|δεν λειτουργεί|δεν είναι αυτό που ζήτησα|δεν είναι αυτό που ρώτησα")),
        "λάθος|λάθος απάντηση|δεν είναι σωστό|δεν ισχύει|δεν δουλεύει|δεν λειτουργεί|δοκίμασε ξανά|προσπάθησε ξανά|έλεγξε ξανά|έλεγξέ το ξανά|κάνεις λάθος|κάνετε λάθος|έκανες λάθος|δεν κατάλαβες|με παρεξήγησες|είσαι σίγουρος|είσαι σίγουρη|είστε σίγουροι",
    ),
    "ko": (
        (("그건|그것은|이건|답이|대답이|정답이|결과가|여전히|아직도", "틀렸어|틀렸습니다|틀렸어요|틀려|아니야|아닙니다|아니에요|맞지 않아|맞지 않습니다|잘못됐어|잘못되었습니다|안 돼|안 됩니다|작동하지 않아|작동하지 않습니다"),),
        "틀렸어|틀렸습니다|틀렸어요|틀렸네|아니야 틀렸어|잘못됐어|잘못되었습니다|다시 확인해|다시 확인해 줘|다시 확인해줘|다시 확인해 주세요|다시 확인해주세요|다시 해봐|다시 해 봐|다시 해줘|다시 시도해|다시 시도해 줘|다시 생각해|다시 생각해봐|그게 아니야|그게 아니라|그게 아니에요|그건 아니야|내 말은 그게 아니야|확실해|확실해요|확실합니까|정말이야|안 되는데|안 돼요|작동 안 해",
    ),
    "ar": (
        (("هذا|هذه|الجواب|الإجابة|جوابك|إجابتك|لا يزال|ما زال", "خطأ|خاطئ|خاطئة|غير صحيح|غير صحيحة|ليس صحيحا|ليس صحيحًا|ليس ما طلبته|ليس ما سألت عنه|ليس ما أردته|لا يعمل|لم ينجح|لا يعمل حتى الآن|غلط"),),
        "خطأ|غلط|غير صحيح|ليس صحيحا|ليس صحيحًا|إجابة خاطئة|لا يعمل|لم ينجح|حاول مرة أخرى|حاول مجددا|حاول من جديد|تحقق مرة أخرى|تأكد مرة أخرى|راجع مرة أخرى|أنت مخطئ|أنت على خطأ|لقد أخطأت|أخطأت|لم تفهمني|لم تفهم|هل أنت متأكد|متأكد|لم يحدث شيء",
    ),
    "he": (
        (("זה|התשובה|התשובה שלך|התוצאה|עדיין", "לא נכון|שגוי|טעות|לא מה שביקשתי|לא מה ששאלתי|לא עובד|לא עבד|שגויה|לא נכונה"),),
        "לא נכון|טעות|שגוי|תשובה שגויה|לא עובד|נסה שוב|תנסה שוב|נסי שוב|בדוק שוב|תבדוק שוב|אתה טועה|את טועה|טעית|לא הבנת|לא הבנת אותי|אתה בטוח|את בטוחה|בטוח|לא קרה כלום",
    ),
    "hi": (
        (("यह|ये|वह|आपका जवाब|तुम्हारा जवाब|जवाब|उत्तर|अभी भी", "गलत है|ग़लत है|सही नहीं है|ठीक नहीं है|काम नहीं कर रहा|काम नहीं करता|गलत|वह नहीं है जो मैंने पूछा|काम नहीं किया"),),
        "गलत|ग़लत|गलत है|गलत जवाब|सही नहीं है|फिर से कोशिश करो|फिर से कोशिश करें|दोबारा कोशिश करो|दोबारा कोशिश करें|फिर से जांचो|फिर से जांचें|दोबारा जांचें|दोबारा जाँच करें|तुम गलत हो|आप गलत हैं|आपने गलती की|आपने गलत समझा|तुमने गलत समझा|मेरा मतलब यह नहीं था|क्या आपको यकीन है|क्या तुम्हें यकीन है|कुछ नहीं हुआ",
    ),
    "vi": (
        (("điều đó|cái đó|câu trả lời|kết quả|như vậy|vẫn|nó|thế là", "sai|sai rồi|không đúng|không chính xác|không phải|không hoạt động|không được|là sai|bị sai|không phải điều tôi hỏi|không phải cái tôi cần|vẫn sai"),),
        "sai|sai rồi|sai rồi đó|không đúng|không chính xác|không phải vậy|không hoạt động|thử lại|thử lại đi|hãy thử lại|kiểm tra lại|hãy kiểm tra lại|kiểm tra lại đi|xem lại đi|bạn sai rồi|bạn nhầm rồi|nhầm rồi|bạn hiểu sai rồi|bạn hiểu nhầm rồi|ý tôi không phải vậy|tôi không hỏi cái đó|bạn chắc không|bạn có chắc không|có chắc không|chẳng có gì xảy ra",
    ),
    "id": (
        (("itu|ini|jawabannya|jawabanmu|jawaban anda|hasilnya|masih|itu masih", "salah|tidak benar|keliru|bukan yang saya minta|bukan yang saya tanyakan|bukan itu yang saya maksud|tidak berfungsi|tidak jalan|tidak berhasil"),),
        "salah|itu salah|tidak benar|jawaban salah|keliru|bukan itu|tidak berfungsi|tidak berhasil|coba lagi|coba sekali lagi|periksa lagi|cek lagi|kamu salah|anda salah|kamu keliru|kamu salah paham|anda salah paham|bukan itu maksud saya|apakah kamu yakin|apakah anda yakin|kamu yakin|yakin|tidak terjadi apa-apa",
    ),
})  # fmt: skip
"""By language: beginnings and what is said of them, each with each; and what is said by itself."""

_OPENERS: Final = frozenset(
    (
        "no nope nah hey hm hmm ah oh ok okay sorry wait but well actually thanks so and again um uh "
        "nein nee halt moment äh hm aber doch naja ach danke also "
        "non mais hé attends désolé pardon merci euh "
        "no pero oye espera perdona perdón gracias bueno "
        "ma aspetta scusa grazie ehi allora beh "
        "não nao mas espera desculpa obrigado ei "
        "neen maar wacht hé sorry dank "
        "nie ale czekaj hej przepraszam dzięki no "
        "нет но погоди подожди эй извини спасибо так ну да "
        "ні але чекай вибач дякую "
        "ne ale počkej promiň díky nem de várj köszi bocs nu dar stai scuze mulțumesc "
        "nej men vänta tack nej vent tak nei ei mutta hei anteeksi kiitos "
        "hayır ama dur pardon teşekkürler όχι μα αλλά περίμενε ευχαριστώ "
        "아니 아니요 아니야 근데 하지만 잠깐 음 لا لكن انتظر عفوا شكرا לא אבל רגע סליחה תודה "
        "नहीं लेकिन रुको माफ़ धन्यवाद không nhưng khoan xin cảm tidak bukan tapi tunggu maaf terima kasih lỗi ơn"
    ).split()
)
"""Words before a complaint that say nothing of it."""

_GO_ON: Final = frozenset(
    (
        "can could check again try please and because the it you i we but so do look read think redo there my your this that is its it's what use now still "
        "bitte prüf prüfe überprüfe noch nochmal noch versuch versuche ich du die der das es und weil schau rechne denn jetzt "
        "vérifie vérifiez réessaie je tu vous la le les il elle et parce s'il encore car essaie "
        "por comprueba revisa inténtalo la el lo yo tú y porque vuelve intenta otra "
        "per controlla riprova il lo io tu e perché verifica ancora "
        "por verifique verifica tente tenta o a eu você e porque de "
        "alsjeblieft controleer probeer ik je het de en want nog kijk "
        "proszę sprawdź spróbuj ja ty i bo ponieważ jeszcze "
        "пожалуйста проверь проверьте попробуй попробуйте я ты вы и потому ещё еще перепроверь "
        "будь перевір перевірте спробуй я ти ви і бо ще "
        "prosím zkus zkontroluj znovu próbáld ellenőrizd te rog încearcă verifică snälla försök kolla kontrollera jag du prøv tjek sjekk jeg yritä tarkista "
        "lütfen tekrar ben sen δοκίμασε έλεγξε παρακαλώ 다시 제발 حاول تحقق من فضلك נסה בדוק בבקשה फिर दोबारा कृपया rồi hãy thử kiểm tolong coba periksa"
    ).split()
)
"""Words after a complaint with which it goes on as one."""

_UNSPACED: Final = (
    "不对", "不对吧", "你错了", "您错了", "错了", "答案错了", "答错了", "回答错了", "这是错的", "那是错的", "这不对", "那不对", "不正确", "这不正确", "答案不对", "答案不正确", "你弄错了", "你搞错了", "搞错了", "弄错了", "不是这个", "不是这样", "不是我要的", "这不是我要的",
    "我不是这个意思", "你没听懂", "你理解错了", "再试一次", "再试一遍", "再检查一遍", "再检查一次", "重新检查", "再查一遍", "再确认一下", "再算一遍", "重新算", "再想想", "你确定吗", "你确定", "还是不对", "还是错的", "还是不行", "没用", "不行", "不管用",
    "不對", "你錯了", "錯了", "答案錯了", "這是錯的", "這不對", "再試一次", "再檢查一次", "你確定嗎", "還是不對",
    "違います", "違う", "違うよ", "それは違う", "それは違います", "間違い", "間違いです", "間違っています", "間違ってる", "間違ってます", "それは間違い", "答えが違う", "答えが間違って", "正しくない", "正しくありません", "もう一度確認", "もう一回確認", "もう一度やって", "もう一回やって", "もう一度試して",
    "やり直して", "確認し直して", "考え直して", "そうじゃない", "そうではない", "そういう意味じゃない", "聞いたことと違う", "動かない", "動きません", "うまくいかない", "まだ違う", "まだ間違って", "本当ですか", "本当に",
    "ผิด", "ผิดแล้ว", "ไม่ถูก", "ไม่ถูกต้อง", "ไม่ใช่", "คำตอบผิด", "คุณผิด", "คุณเข้าใจผิด", "ลองใหม่", "ลองอีกครั้ง", "ตรวจสอบอีกครั้ง", "เช็คอีกครั้ง", "แน่ใจไหม", "แน่ใจหรือ", "ใช้ไม่ได้", "ไม่ทำงาน", "ยังผิด",
)  # fmt: skip
_UNSPACED_OPENERS: Final = ("不是", "不", "嗯", "喂", "可是", "但是", "いや", "いいえ", "えっと", "でも", "ไม่", "แต่")
_LEAST_AFTER_ONE: Final = 4
"""Letters of a word that may follow a complaint of one word: shorter ones make something else of it, as in "mal de altura"."""

_PARTICLES: Final = (
    "吧", "啊", "的", "了", "呢", "哦", "呀", "吗", "嘛", "再", "请", "重", "我", "你", "請", "です", "ます", "よ", "ね", "な", "ください", "下さい", "いる", "い", "し", "て", "だ", "か", "の", "もう", "ครับ", "ค่ะ", "คะ", "นะ", "แล้ว", "อีก", "ลอง", "ไหม", "หรือ",
)  # fmt: skip
"""How what follows begins where a script has no spaces: 不对称 is no complaint."""

_DOUBTS: Final = frozenset(
    (
        "are you sure|are you sure about that|are you really sure|bist du sicher|bist du dir sicher|sind sie sicher|tu es sûr|tu en es sûr|êtes-vous sûr|es-tu sûr|estás seguro|estás segura|está seguro|seguro|sei sicuro|sei sicura|ne sei sicuro|"
        "tem certeza|você tem certeza|tens a certeza|weet je het zeker|weet je dat zeker|weet u het zeker|jesteś pewien|jesteś pewna|na pewno|ты уверен|вы уверены|ты уверена|ти впевнений|ви впевнені|jsi si jistý|jste si jistý|biztos vagy benne|biztos|ești sigur|sigur|"
        "är du säker|är du säker på det|er du sikker|er du sikker på det|oletko varma|emin misin|emin misiniz|είσαι σίγουρος|είσαι σίγουρη|είστε σίγουροι|확실해|확실해요|확실합니까|정말이야|هل أنت متأكد|متأكد|אתה בטוח|את בטוחה|בטוח|क्या आपको यकीन है|क्या तुम्हें यकीन है|"
        "bạn chắc không|bạn có chắc không|có chắc không|apakah kamu yakin|apakah anda yakin|kamu yakin|yakin"
    ).split("|")
)
"""Complaints that are questions. Any other with a question mark is none."""


@cache
def _phrases() -> frozenset[str]:
    """All complaints, written out."""
    found: set[str] = set()
    for pairs, alone in _SAID.values():
        found.update(alone.split("|"))
        for beginnings, rests in pairs:
            found.update(f"{one} {rest}" for one in beginnings.split("|") for rest in rests.split("|"))
    return frozenset(phrase.casefold() for phrase in found)


def complains(text: str) -> bool:
    """Whether a message says that what was answered is wrong. For one that follows an answer: by itself it says little."""
    begun = text[:_LOOKED_AT].strip().replace("\u2019", "'").lstrip("¡¿").casefold()
    if begun.startswith(_QUOTED):
        return False
    for clause, end in _clauses(begun):
        words = clause.split()
        while words and (words[0] in _OPENERS or words[0] in _UNSPACED_OPENERS) and " ".join(words) not in _phrases():
            del words[0]
        if words:
            return _is_complaint(words, asks=end.startswith(("?", "？", "؟")))
        # An opener by itself: what follows it tells.
    return False


def _clauses(text: str) -> Iterator[tuple[str, str]]:
    for number, match in enumerate(_CLAUSE.finditer(text)):
        if number == _MOST_CLAUSES:
            return
        yield match[1], match[2].lstrip()


def _is_complaint(words: list[str], *, asks: bool) -> bool:
    known = _phrases()
    for count in range(min(len(words), _MOST_WORDS), 0, -1):
        said = " ".join(words[:count])
        if said not in known:
            continue
        if count == len(words):
            return said in _DOUBTS if asks else said not in _DOUBTS or count > 1  # "seguro." says yes
        after = words[count]
        one_word = count == 1 and (asks or len(after) < _LEAST_AFTER_ONE)
        return said not in _DOUBTS and after in _GO_ON and not one_word
    bare = "".join(words)
    if bare.isascii():
        return False
    for opener in ("", *_UNSPACED_OPENERS):
        rest = bare.removeprefix(opener)
        for phrase in _UNSPACED:
            if rest.startswith(phrase) and (len(rest) == len(phrase) or rest.startswith(_PARTICLES, len(phrase))):
                return not asks or phrase.startswith(("你确定", "你確定", "本当", "แน่ใจ"))
    return False
