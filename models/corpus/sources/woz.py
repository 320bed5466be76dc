"""CrossWOZ (Chinese) and MultiWOZ (English): what users and clerks say about sights, restaurants, hotels and trains, from ConvLab-3's templates."""
import json
import re
from itertools import cycle

from archives import members

SIGHTS = cycle("故宫 颐和园 天坛公园 八达岭长城 圆明园 北海公园 景山公园 恭王府 雍和宫 香山公园 北京动物园 什刹海 鸟巢 水立方 十三陵 北京植物园".split())
FILLINGS = {
    "景点+名称": SIGHTS,
    "餐馆+名称": cycle("福满楼 老城饭店 东来火锅店 四季酒楼 永顺饺子馆 小江南餐厅 西湖饭店 百花酒楼 胡同面馆 梅园餐厅 渔家饭店".split()),
    "酒店+名称": cycle("花园大酒店 长安宾馆 东方饭店 和平宾馆 阳光酒店 如意快捷酒店 友谊宾馆 云湖度假酒店 新世纪饭店".split()),
    "餐馆+推荐菜": cycle("烤鸭 宫保鸡丁 麻婆豆腐 鱼香肉丝 红烧肉 糖醋排骨 水煮鱼 酸菜鱼 西红柿炒鸡蛋 回锅肉 涮羊肉 炸酱面 小笼包 馄饨 春卷 八宝粥".split()),
    "酒店+酒店设施": cycle("健身房 游泳池 停车场 叫醒服务 洗衣服务 会议室 早餐服务 接站服务 吹风机 中餐厅 酒吧 无烟房".split()),
    "酒店+酒店设施+是": cycle("健身房 游泳池 停车场 洗衣服务 早餐服务 中餐厅 吹风机".split()),
    "出租+目的地": SIGHTS, "出租+出发地": SIGHTS, "地铁+目的地": SIGHTS, "地铁+出发地": SIGHTS,
}
SLOT = re.compile(r"\[(?:Inform|Request)\+([^\]]*?)\d*\]")


def read(packages):
    files = members(packages / "convlab-3.0.1.tar.gz", r".*/nlg/template/(cross|multi)woz/auto_(user|system)_template_nlg\.json")
    texts = {"zh": [], "en": []}
    for name, content in files.items():
        for line in dict.fromkeys(strings(json.loads(content))):
            if "multiwoz" in name:
                if "#" not in line and len(line.split()) > 4:      # #NAME#: a slot
                    texts["en"].append((joined(line),))
            elif "user" in name or "[" not in line:                # the clerks' slots are claims, filled in they would be wrong
                line = re.sub(r"\s", "", SLOT.sub(filling, line))
                if "[" not in line:
                    texts["zh"].append((re.sub(r"(?<=[吗呢么])$", "？", line),))
    return texts


def strings(node):
    if isinstance(node, str):
        yield node
    else:
        for child in node.values() if isinstance(node, dict) else node:
            yield from strings(child)


def filling(slot):
    return next(FILLINGS[slot[1]]) if slot[1] in FILLINGS else slot[0]


def joined(tokens):
    """A sentence out of its tokens: "i do n't know ." gives "I don't know."."""
    line = re.sub(r"\s+", " ", tokens).strip()
    line = re.sub(r" (n ?' ?t)\b", "n't", line)
    line = re.sub(r" ?' ?(s|m|re|ve|ll|d|t)\b", r"'\1", line)
    line = re.sub(r"\s+([.,?!;:)])", r"\1", line)
    line = re.sub(r"\b(\d{1,2})\s*:\s*(\d\d)\b", r"\1:\2", line)
    line = re.sub(r"([(£$]) ", r"\1", re.sub(r"\bi\b", "I", line))
    return re.sub(r"(^|[.?!] )([a-z])", lambda m: m[1] + m[2].upper(), line)
