namespace Rollout.Reporting.Page;

/// <summary>The page's looks: nothing is fetched, light and dark by the reader's preference, cards instead of columns on a phone, whole on paper.</summary>
internal static class PageStyle
{
    public static Html Css => Html.Of($$$"""
        :root{color-scheme:light dark;--bg:#f4f5f7;--card:#fff;--ink:#1a1d21;--soft:#565d66;--rule:#dfe2e6;--blue:#1558c0;--green:#14733d;--good:#14733d;--bad:#b3261e;--doubt:#855000;--frozen:#5a3fc0;--frozen-fill:rgba(106,84,214,.14);--code:#eef0f3;--shadow:0 1px 2px rgba(0,0,0,.06)}
        @media(prefers-color-scheme:dark){:root{--bg:#121518;--card:#1b1f24;--ink:#e8eaed;--soft:#a9b1ba;--rule:#343b43;--blue:#82b1ff;--green:#6fd899;--good:#6fd899;--bad:#ff8f86;--doubt:#f3b95f;--frozen:#b7a6ff;--frozen-fill:rgba(150,130,255,.2);--code:#262c33;--shadow:none}}
        *{box-sizing:border-box}
        html{-webkit-text-size-adjust:100%;scroll-behavior:smooth}
        body{margin:0;background:var(--bg);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans","DejaVu Sans",sans-serif;overflow-wrap:anywhere}
        main,.top,footer{max-width:76rem;margin:0 auto;padding:0 1.25rem}
        a{color:var(--blue)}
        code,pre{font:.875em/1.45 ui-monospace,"SF Mono",Menlo,Consolas,"DejaVu Sans Mono",monospace}
        code{background:var(--code);border-radius:4px;padding:.1em .35em}
        pre{background:var(--code);border-radius:6px;padding:.6rem .75rem;margin:.35rem 0;white-space:pre-wrap}
        .top{padding-top:1.5rem}
        .hero{background:var(--card);border:1px solid var(--rule);border-left:.55rem solid var(--state);border-radius:10px;box-shadow:var(--shadow);padding:1.25rem 1.5rem 1.5rem}
        .done{--state:var(--good)}.failed{--state:var(--bad)}.held{--state:var(--bad)}.back,.open{--state:var(--doubt)}
        .over{margin:0;color:var(--soft)}
        .over b{color:var(--ink)}
        h1{margin:.15rem 0 .35rem;font-size:clamp(1.45rem,4.5vw,2.15rem);line-height:1.2;letter-spacing:-.01em}
        h1 .sign{color:var(--state)}
        .alarm{margin:.75rem 0;padding:.6rem .9rem;border:2px solid var(--bad);border-radius:8px;color:var(--bad);font-weight:700}
        .why{margin:.35rem 0 0;max-width:68rem}
        .next{margin:.6rem 0 0}
        .tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(13.5rem,1fr));gap:1rem 1.5rem;margin:1.25rem 0 0}
        .tiles div{border-top:2px solid var(--rule);padding-top:.5rem}
        dt{color:var(--soft);font-size:.8125rem}
        dd{margin:0;font-size:1.1875rem;font-weight:650;line-height:1.35}
        dd small{display:block;font-size:.8125rem;font-weight:400;color:var(--soft);line-height:1.45;margin-top:.1rem}
        nav{display:flex;flex-wrap:wrap;gap:.35rem 1.1rem;padding:1rem .25rem 0}
        section{background:var(--card);border:1px solid var(--rule);border-radius:10px;box-shadow:var(--shadow);margin:1.25rem 0;padding:1.1rem 1.5rem 1.35rem}
        h2{margin:0 0 .6rem;font-size:1.2rem}
        h3{margin:1.4rem 0 .4rem;font-size:1rem}
        p{margin:.4rem 0}
        .note{color:var(--soft);font-size:.875rem}
        .missing{border-left:.3rem solid var(--doubt);padding:.2rem 0 .2rem .75rem;margin:.6rem 0}
        .badge{white-space:nowrap;font-weight:600;font-size:.9em}.badge.strange{white-space:normal}
        .good{color:var(--good)}.bad{color:var(--bad)}.doubt{color:var(--doubt)}
        table{border-collapse:collapse;width:100%;margin:.5rem 0;font-size:.875rem}
        caption{text-align:left;color:var(--soft);padding:0 0 .35rem;caption-side:top}
        th,td{text-align:left;vertical-align:top;padding:.4rem .9rem .4rem 0;border-top:1px solid var(--rule);font-variant-numeric:tabular-nums}
        thead th{color:var(--soft);font-weight:500;border-top:0;white-space:nowrap}
        tbody th{font-weight:600}
        td{min-width:4.25rem}tbody th{min-width:4.25rem}
        @media(min-width:64rem){td{min-width:5.5rem}tbody th{min-width:9rem}}
        details{margin:.5rem 0}
        summary{cursor:pointer;color:var(--blue)}
        td details{margin:.2rem 0 0}
        .hash{font-size:.75rem;color:var(--soft);background:none;padding:0;word-break:break-all}
        .gantt th,.gantt td{border-top:0;padding-top:0;padding-bottom:0;height:2.05rem;vertical-align:middle}
        .gantt tbody th{width:17.5rem;min-width:0;font-weight:500;white-space:nowrap}
        .gantt tbody th b{display:inline-block;min-width:2rem}
        .gantt td:nth-child(2){width:6.5rem}.gantt td:nth-child(3){width:5.5rem;color:var(--soft);min-width:0}
        .gantt td:last-child,.gantt .scale{padding-right:0}
        .gantt td:last-child{height:2.05rem}
        .gantt td svg{display:block;width:100%;height:2.05rem}
        .bar{fill:var(--good)}.bar.failed{fill:var(--bad)}.bar.doubt{fill:var(--doubt)}
        .lane{stroke:var(--rule);stroke-width:1;vector-effect:non-scaling-stroke}
        rect.freeze{fill:var(--frozen-fill)}
        rect.cut{fill:var(--rule);opacity:.55}
        path.moment{stroke:var(--ink);stroke-width:1.25;stroke-dasharray:2 3;fill:none;vector-effect:non-scaling-stroke;opacity:.75}
        .marks,.xs{position:relative;font-size:.75rem;line-height:1.3}
        .xs{height:1.6em;padding-top:.2em;color:var(--soft)}
        .marks span,.xs span{position:absolute;white-space:nowrap}
        .middle{transform:translateX(-50%)}.last{transform:translateX(-100%)}
        .marks .freeze{color:var(--frozen);font-weight:600}.marks .cut,.marks .moment{color:var(--soft);font-weight:500}
        .plot{margin:1rem 0 .4rem}
        .plot .marks,.plot .xs{margin-left:3.6rem}
        figcaption{font-weight:600;font-size:.9375rem;display:flex;flex-wrap:wrap;gap:.15rem 1.25rem;align-items:baseline;margin-bottom:.25rem}
        .legend{display:flex;flex-wrap:wrap;gap:0 1rem;font-weight:400;font-size:.8125rem;color:var(--soft)}
        .sample{width:26px;height:8px;margin-right:.35rem;vertical-align:middle}
        .field{position:relative;height:11rem;padding-left:3.6rem}
        .field svg{display:block;width:100%;height:100%;overflow:hidden}
        .field.low{height:2rem}
        .ys span{position:absolute;left:0;width:3.2rem;text-align:right;font-size:.75rem;line-height:1;color:var(--soft);transform:translateY(50%);white-space:nowrap}
        .grid{stroke:var(--rule);stroke-width:1;fill:none;vector-effect:non-scaling-stroke}
        .line{fill:none;stroke:currentColor;stroke-width:1.25;stroke-linejoin:round;stroke-linecap:round;vector-effect:non-scaling-stroke}
        .line.blue{stroke:var(--blue)}.line.green{stroke:var(--green)}.line.frozen{stroke:var(--frozen)}.line.bad{stroke:var(--bad)}.line.good{stroke:var(--good)}.line.plain{stroke:var(--ink)}.line.soft{stroke:var(--soft)}
        .line.main{stroke-width:2.5}.line.faint{opacity:.5;stroke-width:1}.line.dashed{stroke-dasharray:6 4}.line.dotted{stroke-dasharray:1 4}
        .spark{display:block;width:9rem;height:1.7rem;overflow:hidden;background:var(--code);border-radius:3px}
        .strip{display:grid;grid-template-columns:11rem 1fr;gap:0 .75rem;align-items:center;font-size:.8125rem}
        .strip svg{display:block;width:100%;height:1.4rem}
        .strip .xs,.strip .marks{grid-column:2}
        .tick{stroke-width:2;fill:none;vector-effect:non-scaling-stroke}
        .tick.good{stroke:var(--good)}.tick.bad{stroke:var(--bad)}.tick.frozen{stroke:var(--frozen)}
        footer{color:var(--soft);font-size:.8125rem;padding-bottom:2rem}
        @media(max-width:46rem){
        main,.top,footer{padding-left:.75rem;padding-right:.75rem}.top{padding-top:.75rem}
        .hero,section{padding-left:.9rem;padding-right:.9rem}
        thead{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
        table,tbody,tr,th,td{display:block}caption{display:block}
        tbody tr{display:grid;grid-template-columns:minmax(0,1fr) minmax(0,1fr);gap:0 .75rem;border-top:1px solid var(--rule);padding:.45rem 0}
        tbody th,td:last-child{grid-column:1/-1}
        th,td,tbody th{border:0;padding:.1rem 0;min-width:0}
        td[data-label]::before{content:attr(data-label)": ";color:var(--soft)}
        .gantt tbody tr{display:grid;grid-template-columns:1fr auto auto;gap:0 .75rem;border:0;padding:.35rem 0 0}
        .gantt th,.gantt td,.gantt tbody th,.gantt td:nth-child(2),.gantt td:nth-child(3){height:auto;width:auto}
        .gantt td[data-label]::before{content:none}
        .gantt tbody th{grid-column:1}.gantt td:last-child{height:1rem}.gantt td svg{height:1rem}
        .gantt thead.scale{display:block;position:static;width:auto;height:auto;clip-path:none;overflow:visible}
        .gantt thead.scale th:not(:last-child){display:none}.gantt thead.scale tr,.gantt thead.scale th{display:block;height:auto}
        .gantt tbody th{white-space:normal}
        .plot .marks,.plot .xs{margin-left:3rem}.field{padding-left:3rem;height:9rem}.ys span{width:2.7rem}
        .strip{grid-template-columns:1fr}.strip .xs,.strip .marks{grid-column:1}
        .spark{width:100%}}
        @media print{
        :root{--bg:#fff;--card:#fff;--ink:#000;--soft:#444;--rule:#ccc;--blue:#1558c0;--green:#14733d;--good:#14733d;--bad:#b3261e;--doubt:#855000;--frozen:#5a3fc0;--frozen-fill:rgba(106,84,214,.16);--code:#f0f0f0;--shadow:none;color-scheme:light}
        body{font-size:10.5pt}nav{display:none}main,.top,footer{max-width:none;padding:0}
        .hero,section{border-color:#bbb;break-inside:auto}.hero{border-left-color:var(--state)}
        .hero,.plot,.strip,tr{break-inside:avoid}h2,h3,summary{break-after:avoid}
        details::details-content{content-visibility:visible;display:block;block-size:auto}
        *{-webkit-print-color-adjust:exact;print-color-adjust:exact}}

        """);
}
