import sys, pathlib, collections
sys.path.insert(0, str(pathlib.Path(__file__).parent.parent)); sys.path.insert(0, str(pathlib.Path(__file__).parent))
from cheaprouter.routing.difficulty import DifficultyModel
from cheaprouter.routing.features import extract
import routing_cases as C
m = DifficultyModel.load()
tot = collections.defaultdict(lambda: [0, 0]); kept = collections.defaultdict(lambda: [0, 0])
for kind, acc, body in [*C.written(), *C.built()]:
    d = m.score(extract(body)); ok = d.tier.value in acc; tot[kind][0] += ok; tot[kind][1] += 1
    if not ok and "-v" in sys.argv: print(kind, d.score, d.tier.value, str(body["messages"][-1]["content"])[-90:] if body.get("messages") else body, dict(sorted(d.contributions.items(), key=lambda t: -abs(t[1]))[:5]))
for kind, acc, body in C.written():
    t = body["messages"][0]["content"]; a = m.score(extract(body)).tier
    for n, f in C.PERTURBATIONS.items():
        ok = m.score(extract(C.ask(f(t)))).tier == a; kept[n][0] += ok; kept[n][1] += 1
        if not ok and "-p" in sys.argv: print("   ", n, a, m.score(extract(body)).score, m.score(extract(C.ask(f(t)))).score, t[:70])
print({k: f"{a}/{b}" for k, (a, b) in tot.items()}); print("tiers", sum(a for a, b in tot.values()) / sum(b for a, b in tot.values()))
print({k: round(a / b, 3) for k, (a, b) in kept.items()}); print("kept", sum(a for a, b in kept.values()) / sum(b for a, b in kept.values()))
