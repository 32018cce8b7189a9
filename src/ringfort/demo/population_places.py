"""Towns with their postcodes, and streets where Faker has none of its own, by community.

Towns are written `town=postcode template|...`, the larger ones first: the first town gets the most people.
Templates are as in `population_countries`. Faker's `city()` gives invented English towns in many locales
(`Port Olgatown`), and its postcodes do not belong to its towns; hence this small gazetteer. Town names are
in the language and script of the community.
"""

from __future__ import annotations

_TOWNS = {
    "AT": "Wien=1##0|Graz=80#0|Linz=40#0|Salzburg=50#0|Innsbruck=60#0|Klagenfurt am Wörthersee=90#0"
    "|Villach=9500|Wels=4600|St. Pölten=3100|Dornbirn=6850|Bregenz=6900",
    "BE-nl": "Antwerpen=20#0|Gent=90##|Brugge=8000|Leuven=3000|Mechelen=2800|Hasselt=3500|Kortrijk=8500"
    "|Aalst=9300",
    "BE-fr": "Bruxelles=10#0|Charleroi=60#0|Liège=40#0|Namur=5000|Mons=7000|La Louvière=7100|Tournai=7500"
    "|Verviers=4800",
    "BG": "София=1###|Пловдив=40##|Варна=90##|Бургас=80##|Русе=70##|Стара Загора=60##|Плевен=58##"
    "|Сливен=88##|Добрич=93##|Велико Търново=50##",
    "CY": "Λευκωσία=10##|Λεμεσός=30##|Λάρνακα=60##|Πάφος=80##",
    "CZ": "Praha=1## 00|Brno=6## 00|Ostrava=70# 00|Plzeň=3## 00|Liberec=460 0#|Olomouc=779 00"
    "|České Budějovice=370 0#|Hradec Králové=500 0#|Ústí nad Labem=400 0#|Pardubice=530 0#|Zlín=760 01",
    "DE": "Berlin=1####|Hamburg=2####|München=80###|Köln=50###|Frankfurt am Main=60###|Düsseldorf=40###"
    "|Stuttgart=70###|Leipzig=04###|Dortmund=44###|Essen=45###|Bremen=28###|Dresden=01###|Hannover=30###"
    "|Nürnberg=90###|Bonn=53###|Münster=48###|Freiburg im Breisgau=79###|Görlitz=028##|Würzburg=970##"
    "|Lübeck=235##",
    "DK": "København=1###|Aarhus=8000|Odense=5000|Aalborg=9000|Esbjerg=6700|Randers=8900|Kolding=6000"
    "|Horsens=8700|Vejle=7100|Helsingør=3000|Tønder=6270",
    "EE": "Tallinn=10###|Tartu=50###|Narva=20###|Pärnu=80###|Kohtla-Järve=30###|Viljandi=71###|Võru=65###",
    "ES": "Madrid=280##|Barcelona=080##|Valencia=460##|Sevilla=410##|Zaragoza=500##|Málaga=290##"
    "|Murcia=300##|Palma=070##|Bilbao=480##|Alicante=030##|Córdoba=140##|Valladolid=470##|A Coruña=150##"
    "|Granada=180##|San Sebastián=200##|Cádiz=110##",
    "FI": "Helsinki=00##0|Espoo=02##0|Tampere=33##0|Vantaa=01##0|Oulu=90##0|Turku=20##0|Jyväskylä=40##0"
    "|Lahti=15##0|Kuopio=70##0|Hämeenlinna=13##0",
    "FR": "Paris=750##|Marseille=1300#|Lyon=6900#|Toulouse=31#00|Nice=06#00|Nantes=44#00|Montpellier=34#00"
    "|Strasbourg=67#00|Bordeaux=33#00|Lille=59#00|Rennes=35#00|Reims=51100|Saint-Étienne=42#00"
    "|Le Havre=76600|Grenoble=38#00|Dijon=21000|Angers=49#00|Nîmes=30#00|Besançon=25000",
    "GR": "Αθήνα=1## ##|Θεσσαλονίκη=54# ##|Πάτρα=262 ##|Ηράκλειο=71# ##|Λάρισα=41# ##|Βόλος=38# ##"
    "|Ιωάννινα=45# ##|Χανιά=731 ##|Καβάλα=65# ##|Ρόδος=851 ##",
    "HR": "Zagreb=10000|Split=21000|Rijeka=51000|Osijek=31000|Zadar=23000|Pula=52100|Slavonski Brod=35000"
    "|Šibenik=22000|Dubrovnik=20000|Čakovec=40000",
    "HU": "Budapest=1###|Debrecen=40##|Szeged=67##|Miskolc=35##|Pécs=76##|Győr=90##|Nyíregyháza=44##"
    "|Kecskemét=60##|Székesfehérvár=80##|Szombathely=97##|Hódmezővásárhely=68##",
    "IE": "Dublin=D02 ****|Cork=T12 ****|Dublin=D15 ****|Dublin=D08 ****|Limerick=V94 ****|Galway=H91 ****"
    "|Waterford=X91 ****|Drogheda=A92 ****|Dundalk=A91 ****|Swords=K67 ****|Bray=A98 ****|Kilkenny=R95 ****"
    "|Sligo=F91 ****|Dún Laoghaire=A96 ****",
    "IE-ga": "Gaillimh=H91 ****|Baile Átha Cliath=D07 ****|An Spidéal=H91 ****|An Daingean=V92 ****"
    "|Corcaigh=T12 ****|Gaoth Dobhair=F92 ****",
    "IS": "Reykjavík=10#|Kópavogur=20#|Hafnarfjörður=220|Akureyri=600|Reykjanesbær=230|Ísafjörður=400"
    "|Þórshöfn=680",
    "IT": "Roma=001##|Milano=201##|Napoli=801##|Torino=101##|Palermo=901##|Genova=161##|Bologna=401##"
    "|Firenze=501##|Bari=701##|Catania=951##|Venezia=301##|Verona=371##|Padova=351##|Trieste=341##"
    "|Forlì=471##|L'Aquila=67100|Cagliari=091##",
    "LI": "Vaduz=9490|Schaan=9494|Triesen=9495|Balzers=9496",
    "LT": "Vilnius=LT-0####|Kaunas=LT-4####|Klaipėda=LT-9####|Šiauliai=LT-7####|Panevėžys=LT-3####"
    "|Alytus=LT-6####|Marijampolė=LT-6####",
    "LU": "Luxembourg=L-1###|Esch-sur-Alzette=L-4###|Differdange=L-4###|Dudelange=L-3###|Ettelbruck=L-9###",
    "LV": "Rīga=LV-10##|Daugavpils=LV-54##|Liepāja=LV-34##|Jelgava=LV-30##|Jūrmala=LV-20##"
    "|Ventspils=LV-36##|Rēzekne=LV-46##|Cēsis=LV-41##",
    "MT": "Birkirkara=BKR ####|Mosta=MST ####|Qormi=QRM ####|Sliema=SLM ####|Valletta=VLT ####"
    "|Żabbar=ZBR ####|Ħamrun=HMR ####",
    "NL": "Amsterdam=10## @@|Rotterdam=30## @@|Den Haag=25## @@|Utrecht=35## @@|Eindhoven=56## @@"
    "|Groningen=97## @@|Tilburg=50## @@|Almere=13## @@|Breda=48## @@|Nijmegen=65## @@|Maastricht=62## @@"
    "|'s-Hertogenbosch=52## @@",
    "NO": "Oslo=0###|Bergen=50##|Trondheim=70##|Stavanger=40##|Drammen=30##|Fredrikstad=16##"
    "|Kristiansand=46##|Tromsø=90##|Ålesund=60##|Bodø=80##",
    "PL": "Warszawa=0#-###|Kraków=3#-###|Łódź=9#-###|Wrocław=5#-###|Poznań=6#-###|Gdańsk=80-###"
    "|Szczecin=7#-###|Bydgoszcz=85-###|Lublin=20-###|Białystok=15-###|Katowice=40-###|Gdynia=81-###"
    "|Częstochowa=42-###|Rzeszów=35-###|Toruń=87-###|Zielona Góra=65-###",
    "PT": "Lisboa=1###-###|Porto=4###-###|Braga=47##-###|Coimbra=30##-###|Setúbal=29##-###|Funchal=90##-###"
    "|Évora=70##-###|Faro=80##-###|Guimarães=48##-###|Viseu=35##-###",
    "RO": "București=01####|Cluj-Napoca=4000##|Timișoara=3000##|Iași=7000##|Constanța=9000##|Craiova=2000##"
    "|Brașov=5000##|Galați=8000##|Ploiești=1000##|Oradea=4100##|Bacău=6000##|Sibiu=5500##"
    "|Târgu Mureș=5400##",
    "SE": "Stockholm=11# ##|Göteborg=41# ##|Malmö=21# ##|Uppsala=75# ##|Västerås=72# ##|Örebro=70# ##"
    "|Linköping=58# ##|Helsingborg=25# ##|Jönköping=55# ##|Norrköping=60# ##|Umeå=90# ##|Gävle=80# ##"
    "|Växjö=35# ##",
    "SI": "Ljubljana=1000|Maribor=2000|Celje=3000|Kranj=4000|Koper=6000|Velenje=3320|Novo mesto=8000"
    "|Škofja Loka=4220",
    "SK": "Bratislava=8## 0#|Košice=040 ##|Prešov=080 0#|Žilina=010 0#|Nitra=949 0#|Banská Bystrica=974 0#"
    "|Trnava=917 0#|Trenčín=911 0#|Martin=036 01|Poprad=058 01",
    "BR": "São Paulo=0####-###|Rio de Janeiro=2####-###|Brasília=70###-###|Salvador=40###-###"
    "|Fortaleza=60###-###|Belo Horizonte=30###-###|Curitiba=80###-###|Recife=50###-###"
    "|Florianópolis=88###-###",
    "CA": "Toronto=M5@ #@#|Vancouver=V6@ #@#|Calgary=T2@ #@#|Ottawa=K1@ #@#|Halifax=B3@ #@#"
    "|Winnipeg=R3@ #@#",
    "CA-fr": "Montréal=H2@ #@#|Québec=G1@ #@#|Laval=H7@ #@#|Gatineau=J8@ #@#|Trois-Rivières=G8@ #@#",
    "CH-de": "Zürich=80##|Basel=40##|Bern=30##|Winterthur=84##|Luzern=60##|St. Gallen=90##|Biel=25##"
    "|Thun=36##",
    "CH-fr": "Genève=12##|Lausanne=10##|Fribourg=1700|Neuchâtel=2000|La Chaux-de-Fonds=2300|Sion=1950",
    "GB": "London=SW1# #@@|Birmingham=B1# #@@|Manchester=M1# #@@|Leeds=LS# #@@|Glasgow=G1# #@@"
    "|Sheffield=S1# #@@|Edinburgh=EH# #@@|Liverpool=L1# #@@|Bristol=BS# #@@|Cardiff=CF1# #@@"
    "|Belfast=BT# #@@|Newcastle upon Tyne=NE# #@@|Stoke-on-Trent=ST# #@@",
    "IN": "Mumbai=4000##|Delhi=1100##|Bengaluru=5600##|Hyderabad=5000##|Chennai=6000##|Kolkata=7000##"
    "|Pune=4110##|Ahmedabad=3800##",
    "IN-hi": "दिल्ली=1100##|लखनऊ=2260##|जयपुर=3020##|कानपुर=2080##|भोपाल=4620##|पटना=8000##",
    "JP": "東京都新宿区=160-####|横浜市中区=231-####|大阪市北区=530-####|名古屋市中区=460-####"
    "|札幌市中央区=060-####"
    "|福岡市博多区=812-####"
    "|京都市左京区=606-####|仙台市青葉区=980-####|広島市中区=730-####",
    "TR": "İstanbul=34###|Ankara=06###|İzmir=35###|Bursa=16###|Antalya=07###|Adana=01###|Konya=42###"
    "|Eskişehir=26###|Muğla=48###|Diyarbakır=21###",
    "UA": "Київ=0####|Харків=61###|Одеса=65###|Дніпро=49###|Львів=79###|Запоріжжя=69###|Вінниця=21###"
    "|Полтава=36###|Чернігів=14###|Івано-Франківськ=76###",
    "US": "New York=100##|Los Angeles=900##|Chicago=606##|Houston=770##|Phoenix=850##|Philadelphia=191##"
    "|San Antonio=782##|San Diego=921##|Austin=787##|Seattle=981##|Boston=021##|Denver=802##"
    "|St. Louis=631##|Coeur d'Alene=83814",
}  # fmt: skip

TOWNS: dict[str, tuple[tuple[str, str], ...]] = {
    name: tuple((town, postcode) for town, _, postcode in (entry.partition("=") for entry in text.split("|")))
    for name, text in _TOWNS.items()
}

_STREETS = {
    "BE-fr": "Rue de la Station|Rue Neuve|Avenue Louise|Chaussée de Namur|Rue de l'Église|Rue des Écoles"
    "|Place Communale|Avenue des Tilleuls|Rue du Moulin|Boulevard d'Avroy|Rue Saint-Gilles|Chemin Vert",
    "BG": "бул. Витоша|ул. Иван Вазов|ул. Раковски|бул. Цар Борис III|ул. Христо Ботев|ул. Пирин"
    "|ул. Граф Игнатиев|ул. Оборище|бул. Левски|ул. Шипка|ул. Опълченска|ул. Любен Каравелов"
    "|ул. Васил Априлов|ж.к. Младост",
    "CA": "Queen Street West|Main Street|Yonge Street|Maple Avenue|Elgin Street|Granville Street"
    "|Portage Avenue|Spring Garden Road|17 Avenue SW|Birch Crescent|King Street|Victoria Road",
    "EE": "Pärnu maantee|Narva maantee|Kase tänav|Tartu maantee|Pikk tänav|Õpetaja tänav|Kooli tänav"
    "|Sõpruse puiestee|Lai tänav|Ülikooli tänav|Männi tänav",
    "GB": "High Street|Station Road|Church Lane|Victoria Road|Green Lane|Manor Road|Queen Street|Mill Lane"
    "|Park Avenue|King's Road|The Crescent|London Road|School Lane|Richmond Terrace|Albert Street",
    "IE": "Main Street|O'Connell Street|Patrick Street|Church Street|Bridge Street|Parnell Street"
    "|Castle Street|Griffith Avenue|Mill Road|St. Mary's Terrace|The Green|Barrack Street|Harbour View"
    "|Pearse Street|Chapel Lane",
    "IE-ga": "An tSráid Mhór|Sráid an Droichid|Bóthar na Trá|Sráid na Siopaí|Bóthar an Chladaigh"
    "|Céide na Coille|Sráid Uí Chonaill|An Cnoc|Baile an Mhuilinn",
    "IN": "MG Road|Station Road|Gandhi Nagar|Park Street|Nehru Marg|Linking Road|Anna Salai|Brigade Road"
    "|Lajpat Nagar|Sector 14|Civil Lines|Jubilee Hills Road No. 36",
    "IN-hi": "महात्मा गांधी मार्ग|स्टेशन रोड|गांधी नगर|नेहरू मार्ग|सिविल लाइन्स|हज़रतगंज|सुभाष चौक"
    "|अशोक विहार",
    "IS": "Laugavegur|Skólavörðustígur|Hverfisgata|Bergstaðastræti|Álfheimar|Strandgata|Þingholtsstræti"
    "|Ránargata|Öldugata|Hafnarstræti",
    "JP": "本町|中央|栄町|旭町|緑町|桜木町|泉町|東町|西新町|若葉台|幸町|松原",
    "LI": "Landstrasse|Städtle|Im Bretscha|Feldkircher Strasse|Äulestrasse|Dorfstrasse",
    "LT": "Gedimino pr.|Laisvės al.|Žalgirio g.|Vytauto g.|Basanavičiaus g.|Savanorių pr.|Šv. Jono g."
    "|Kęstučio g.|Taikos pr.|Mickevičiaus g.|Liepų g.|Ąžuolų g.",
    "LU": "Grand-Rue|rue de l'Alzette|avenue de la Liberté|rue du Fossé|route d'Esch|rue Principale"
    "|rue des Champs|boulevard Royal|rue de la Gare|Um Bierg",
    "LV": "Brīvības iela|Kr. Barona iela|Čaka iela|Ģertrūdes iela|Rīgas iela|Lāčplēša iela|Skolas iela"
    "|Jūras iela|Zemgales prospekts|Dārza iela|Liepu aleja",
    "MT": "Triq ir-Repubblika|Triq il-Kbira|Triq San Ġużepp|Triq it-Torri|Triq il-Wied|Misraħ il-Bażilika"
    "|Triq Birkirkara|Triq Santa Marija|St. Paul Street",
    "TR": "Atatürk Cad.|İstiklal Cad.|Cumhuriyet Cad.|Bağdat Cad.|Gül Sok.|Çiçek Sok.|Mithatpaşa Cad."
    "|Şehit Ömer Sok.|Yıldız Sok.|Lale Sok.|Fevzi Çakmak Bulv.|Değirmen Sok.",
    "US": "Main Street|Oak Avenue|Maple Street|Washington Street|2nd Street|Park Avenue|Elm Street"
    "|Lakeview Drive|Cedar Lane|Sunset Boulevard|Pine Street|Martin Luther King Jr. Blvd|Hickory Court"
    "|River Road",
}  # fmt: skip

# Communities that are not listed here take Faker's street names of their own locale.
STREETS: dict[str, tuple[str, ...]] = {name: tuple(text.split("|")) for name, text in _STREETS.items()}
# Towns in another country's spelling or in none: people type what they like.
TOWN_SPELLINGS = {
    "München": "Munich",
    "Praha": "Prague",
    "Wien": "Vienna",
    "København": "Copenhagen",
    "Roma": "Rome",
    "Lisboa": "Lisbon",
    "Warszawa": "Warsaw",
    "Αθήνα": "Athens",
    "София": "Sofia",
    "Köln": "Koeln",
    "Göteborg": "Gothenburg",
    "București": "Bucuresti",
    "Київ": "Kyiv",
    "Zürich": "Zurich",
    "Genève": "Geneva",
    "Dún Laoghaire": "Dun Laoghaire",
}
