"""stub"""
def report(run): 
    (run.folder/"report.html").write_text("x"); run.finish("report",0)
